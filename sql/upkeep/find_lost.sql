create or replace function scheduler_internal.find_lost(at timestamptz)
returns integer[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
-- The shards in which something runs under no lease. Reads all of running, which is small: no index
-- by worker is worth its WAL.
begin
    return array(
        select distinct r.shard
        from scheduler_internal.running r
        where not exists (
            select from scheduler_internal.workers w
            where w.worker_id = r.worker_id and w.stopped_at is null
              and w.last_beat_at + w.lease > find_lost.at));
end;
$$;

comment on function scheduler_internal.find_lost(timestamptz) is
    'The shards in which executions run whose worker has no lease';
