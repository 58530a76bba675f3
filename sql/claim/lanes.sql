-- It did not know whose lanes are asked for.
-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.lanes(integer, boolean);

create or replace function scheduler_internal.lanes(shard integer, bounded boolean, queues text[])
returns setof scheduler_internal.claim_bounds
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
-- The pairs (queue, rank) that wait in a shard in these queues (null: any), and where to begin in
-- each. Each is found by one probe of the index, at its oldest row: the only walk over what lies in
-- front of that. Or, bounded, those that a sweep has noted.
begin
    if bounded then
        return query
        select b.* from scheduler_internal.claim_bounds b
        where b.shard = lanes.shard and (queues is null or b.queue = any (queues));
    elsif queues is null then
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
        select lanes.shard, l.queue, l.rank, l.run_at from lane l;
    else
        -- Not past the lanes of others: 2,000 queues of which one is served took a claim 19 ms.
        return query
        with recursive lane as (
            select f.queue, f.rank, f.run_at
            from (select distinct q from unnest(queues) q) q
            cross join lateral (
                select w.queue, w.rank, w.run_at
                from scheduler_internal.waiting w
                where w.shard = lanes.shard and w.queue = q.q
                order by w.queue, w.rank, w.run_at
                limit 1
            ) f
            union all
            select n.queue, n.rank, n.run_at
            from lane l
            cross join lateral (
                select w.queue, w.rank, w.run_at
                from scheduler_internal.waiting w
                where w.shard = lanes.shard and w.queue = l.queue and w.rank > l.rank
                order by w.queue, w.rank, w.run_at
                limit 1
            ) n
        )
        select lanes.shard, l.queue, l.rank, l.run_at from lane l;
    end if;
end;
$$;

comment on function scheduler_internal.lanes(integer, boolean, text[]) is
    'The queues and ranks in which something waits in a shard, and from which run_at on to look';
