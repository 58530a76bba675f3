create or replace function scheduler_internal.find_lost(at timestamptz)
returns integer[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = on
set max_parallel_workers_per_gather = 0
as $$
-- The shards in which something runs under no lease. Reads all of running, which is small: no index
-- by worker is worth its WAL. Its caller has switched such reads off; then their cost on paper made
-- the planner start two processes for each call (25 ms beside a herd, 4 without).
begin
    return array(
        select distinct r.shard
        from scheduler_internal.running r
        where (r.worker_id in (  -- "is not true" keeps it a hashed set
                  select w.worker_id from scheduler_internal.workers w
                  where w.stopped_at is null and w.last_beat_at + w.lease > at)) is not true);
end;
$$;

comment on function scheduler_internal.find_lost(timestamptz) is
    'The shards in which executions run whose worker has no lease';
