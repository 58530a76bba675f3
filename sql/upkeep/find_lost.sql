create or replace function scheduler_internal.find_lost(at timestamptz)
returns integer[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
as $$
-- The shards in which something runs under no lease. Reads all of running, which is small, but for
-- dead rows that a transaction held open keeps there: so it notes when to look again without a
-- reason, so late that it takes a twentieth of the time.
-- Writes: marks.
declare
    v_began_at constant timestamptz := clock_timestamp();
    v_shards integer[];
begin
    v_shards := array(
        select distinct r.shard
        from scheduler_internal.running r
        where not exists (
            select from scheduler_internal.workers w
            where w.worker_id = r.worker_id and w.stopped_at is null
              and w.last_beat_at + w.lease > find_lost.at));
    update scheduler_internal.marks m
    set at = clock_timestamp()
        + greatest(20 * (clock_timestamp() - v_began_at), interval '5 seconds')
    where m.name = 'orphans';
    return v_shards;
end;
$$;

comment on function scheduler_internal.find_lost(timestamptz) is
    'The shards in which executions run whose worker has no lease';
