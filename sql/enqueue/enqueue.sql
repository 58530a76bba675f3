create or replace function scheduler.enqueue(
    job_type text,
    target jsonb,
    payload jsonb default null,
    queue text default 'default',
    priority integer default 0,
    run_at timestamptz default null,
    dedup_key text default null,
    max_attempts integer default 3,
    backoff text default 'exponential',
    backoff_base interval default '10 seconds',
    backoff_max interval default '1 hour',
    timeout interval default '1 hour',
    expires_after interval default null,
    traceparent text default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Makes an execution without a job, in the caller's own transaction: rolled back with it, and seen
-- by workers when it commits. While an execution with the same dedup_key has not ended, returns
-- that one's id instead.
-- Writes: waiting; dedup_keys where a key is given (two callers of one key wait for each other).
-- Raises: 22023 for whatever in it is wrong.
declare
    v_now constant timestamptz := scheduler.now();
    v_traceparent constant text := coalesce(
        traceparent, scheduler_internal.setting('traceparent', null));
    v_run_at timestamptz;
    v_target jsonb;
    v_shard integer;
    v_id uuid;
    v_holder uuid;
begin
    v_target := scheduler_internal.check_target(job_type, target);
    perform scheduler_internal.check_document('target', v_target);
    perform scheduler_internal.check_document('payload', payload);
    perform scheduler_internal.check_policy(queue, priority, max_attempts, backoff, backoff_base,
        backoff_max, timeout, expires_after);
    perform scheduler_internal.check_traceparent(v_traceparent);
    perform scheduler_internal.check_dedup_key(dedup_key);
    v_run_at := scheduler_internal.check_run_at(run_at, v_now);

    v_shard := coalesce(scheduler_internal.shard_of_key(dedup_key), floor(random() * 16)::integer);
    v_id := scheduler_internal.new_id(v_shard, v_run_at);
    if dedup_key is not null then
        v_holder := (scheduler_internal.take_dedup_keys(array[dedup_key], array[v_id])
                     ->> dedup_key)::uuid;
        if v_holder <> v_id then
            return v_holder;
        end if;
    end if;

    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, expires_at, attempt_base, rank, crashes,
         origin, exclusive, queue, job_type, handler, dedup_key, traceparent, target, payload,
         policy)
    values
        (v_shard, 0, v_id, v_run_at, v_now, v_run_at + expires_after, 0, - priority, 0, 'e', false,
         queue, job_type, v_target ->> 'handler', dedup_key, v_traceparent, v_target, payload,
         scheduler_internal.pack_policy(max_attempts, backoff, backoff_base, backoff_max, timeout));
    perform scheduler_internal.wake_workers(v_shard, v_run_at <= v_now);
    return v_id;
end;
$$;

comment on function scheduler.enqueue is
    'Makes an execution without a job, in the caller''s own transaction, and returns its id. With '
    'a dedup_key, returns the execution of that key while one has not ended';
