create or replace function scheduler_internal.lanes(shard integer, bounded boolean)
returns table (queue text, rank smallint, from_run_at timestamptz)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
-- The pairs (queue, rank) that wait in a shard, and where to begin in each. All that there are,
-- each found by one probe of the index, at its oldest row: the only walk over what lies in front of
-- that. Or, bounded, those that a sweep has noted.
begin
    if bounded then
        return query
        select b.queue, b.rank, b.from_run_at
        from scheduler_internal.claim_bounds b
        where b.shard = lanes.shard;
        return;
    end if;
    return query
    with recursive lane as (
        (select w.queue, w.rank, w.run_at
         from scheduler_internal.waiting w
         where w.shard = lanes.shard
         order by w.queue, w.rank, w.run_at
         limit 1)
        union all
        select n.queue, n.rank, n.run_at
        from lane l
        cross join lateral (
            select w.queue, w.rank, w.run_at
            from scheduler_internal.waiting w
            where w.shard = lanes.shard and (w.queue, w.rank) > (l.queue, l.rank)
            order by w.queue, w.rank, w.run_at
            limit 1
        ) n
    )
    select l.queue, l.rank, l.run_at from lane l;
end;
$$;

comment on function scheduler_internal.lanes(integer, boolean) is
    'The queues and ranks in which something waits in a shard, and from which run_at on to look';
