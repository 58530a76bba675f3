-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.end_waiting(
    integer, uuid[], text, text, timestamptz, boolean);

create or replace function scheduler_internal.end_waiting(
    shard integer,
    execution_ids uuid[],
    status text,
    reason text,
    at timestamptz
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Ends executions before they start: cancelled or expired. The attempt that never started takes a
-- number, so that an end that is undone by retry_execution() and comes again has a row of its own.
--
-- Counted apart, in a row of the rollups under its process instead of the shard: finish() must not
-- wait for a client, who may keep his transaction open. He comes here when he cancels, and by
-- run_sql_jobs(): it claims, and a claim ends what has expired.
-- Writes: waiting, history, dedup_keys, rollups. Returns how many there were.
declare
    v_count bigint;
begin
    perform scheduler_internal.ensure_history(execution_ids);
    with gone as (
        delete from scheduler_internal.waiting w
        where w.shard = end_waiting.shard and w.execution_id = any (execution_ids)
        returning w.*
    ), ended as (
        insert into scheduler_internal.history
            (execution_id, shard, attempt, run_at, created_at, finished_at, fire_at, job_id,
             job_version, rank, origin, final, status, queue, job_type, dedup_key, traceparent,
             target, payload, policy, error)
        select g.execution_id, g.shard, g.attempt + 1,
               case when g.run_at = 'infinity' then g.created_at else g.run_at end,
               g.created_at, at, g.fire_at, g.job_id, g.job_version, g.rank, g.origin, true,
               end_waiting.status, g.queue, g.job_type, g.dedup_key, g.traceparent, g.target,
               g.payload, g.policy, jsonb_build_object('type', end_waiting.status, 'message',
               reason)
        from gone g
    ), freed as (
        delete from scheduler_internal.dedup_keys d
        where d.shard = end_waiting.shard
          and d.dedup_key = any (array(select g.dedup_key from gone g))
          and d.execution_id = any (execution_ids)
    ), counted as (
        insert into scheduler_internal.rollups as r
            (minute, shard, queue, job_type, succeeded, failed, cancelled, expired, retried,
             wait_seconds, run_seconds, max_wait_seconds, max_run_seconds)
        select date_trunc('minute', at), - pg_backend_pid(), g.queue, g.job_type, 0, 0,
               count(*) filter (where end_waiting.status = 'cancelled'),
               count(*) filter (where end_waiting.status = 'expired'), 0, 0, 0, 0, 0
        from gone g
        group by g.queue, g.job_type
        order by g.queue, g.job_type
        on conflict on constraint rollups_pkey do update
        set cancelled = r.cancelled + excluded.cancelled, expired = r.expired + excluded.expired
    )
    select count(*) into v_count from gone;
    return v_count;
end;
$$;

comment on function scheduler_internal.end_waiting(integer, uuid[], text, text, timestamptz) is
    'Moves executions from waiting to history without a start';
