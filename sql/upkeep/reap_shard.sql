-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.reap_shard(integer, timestamptz);

create or replace function scheduler_internal.reap_shard(
    shard integer,
    at timestamptz,
    has_lost boolean
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
-- reap() on one shard. Returns how many executions were taken back.
-- Locks: running and waiting rows, SKIP LOCKED. Writes: running, cancel_requests, waiting, history,
-- dedup_keys, rollups.
declare
    v_lost uuid[];
    v_expired uuid[];
    v_held uuid[];
    v_count bigint := 0;
begin
    if has_lost then
        v_lost := array(
            select r.execution_id
            from scheduler_internal.running r
            where r.shard = reap_shard.shard
              and not exists (
                  select from scheduler_internal.workers w
                  where w.worker_id = r.worker_id and w.stopped_at is null
                    and w.last_beat_at + w.lease > at)
            order by r.execution_id
            limit 5000
            for update of r skip locked);
        if v_lost <> '{}' then
            v_count := scheduler_internal.take_back(shard, v_lost, at);
        end if;
    end if;
    v_expired := array(
        select w.execution_id from scheduler_internal.waiting w
        where w.shard = reap_shard.shard and w.expires_at <= at and w.attempt = w.attempt_base
        limit 5000
        for update skip locked);
    if v_expired <> '{}' then
        perform scheduler_internal.expire(shard, v_expired, at);
    end if;
    perform scheduler_internal.settle_cancels(shard, at);
    v_held := array(
        select distinct w.job_id from scheduler_internal.waiting w
        where w.shard = reap_shard.shard and w.run_at = 'infinity');
    if v_held <> '{}' then
        perform scheduler_internal.release_held(shard, v_held, at);
    end if;
    return v_count;
end;
$$;

comment on function scheduler_internal.reap_shard(integer, timestamptz, boolean) is
    'reap() on one shard';
