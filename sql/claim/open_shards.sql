create or replace function scheduler_internal.open_shards(
    shards integer[],
    queues text[],
    at timestamptz
)
returns integer[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- ready_shards() for those of which the first row does not tell. In each the lanes (queue, rank)
-- that exist are hopped through by the index, one probe a lane, so that rows that wait for the
-- future cost nothing (lanes(), written out: a call of it for each shard takes a quarter more); of
-- given queues only their own lanes. Where claims are bounded, the lanes and where to begin are
-- known; where a sweep is due, a claim is to look.
begin
    return array(
        select g.shard
        from unnest(shards) g(shard)
        left join scheduler_internal.claim_sweeps s on s.shard = g.shard
        where case
            when s.next_at is null and queues is not null then exists (
                select from scheduler_internal.lanes(g.shard, false, queues) l
                where l.from_run_at <= at)
            when s.next_at is null then exists (
                with recursive lane as (
                    (select w.queue, w.rank, w.run_at
                     from scheduler_internal.waiting w
                     where w.shard = g.shard
                     order by w.queue, w.rank, w.run_at
                     limit 1)
                    union all
                    select n.queue, n.rank, n.run_at
                    from lane l
                    cross join lateral (
                        select w.queue, w.rank, w.run_at
                        from scheduler_internal.waiting w
                        where w.shard = g.shard and (w.queue, w.rank) > (l.queue, l.rank)
                        order by w.queue, w.rank, w.run_at
                        limit 1
                    ) n
                )
                select from lane l where l.run_at <= at)
            when scheduler_internal.is_sweep_due(s.next_at) then true
            else exists (
                select from scheduler_internal.claim_bounds b
                where b.shard = g.shard and (queues is null or b.queue = any (queues))
                  -- limit: the probe stays a probe, where "exists" becomes a join that reads all
                  and (select true from scheduler_internal.waiting w
                       where w.shard = b.shard and w.queue = b.queue and w.rank = b.rank
                         and w.run_at >= b.from_run_at and w.run_at <= at
                       limit 1))
            end);
end;
$$;

comment on function scheduler_internal.open_shards(integer[], text[], timestamptz) is
    'Of these shards those with something ready in these queues (null: any)';
