-- Without SET, so that it is inlined: else the rows of each call are stored once more.
create or replace function scheduler_internal.read_items(items jsonb)
returns table (
    "position" bigint,
    job_type text,
    target jsonb,
    payload jsonb,
    queue text,
    priority integer,
    run_at timestamptz,
    dedup_key text,
    max_attempts integer,
    backoff text,
    backoff_base interval,
    backoff_max interval,
    timeout interval,
    expires_after interval,
    traceparent text
)
language sql
stable
as $$
    select i.position, i.job_type,
           -- As check_target() writes it out, which takes five times as long as all else here. What
           -- is wrong stays so, for check_items() to tell.
           case when jsonb_typeof(i.target) = 'string'
                     and scheduler_internal.target_keys(i.job_type) is not null
                then jsonb_build_object(
                    (scheduler_internal.target_keys(i.job_type))[1], i.target)
                else i.target end,
           i.payload, i.queue, i.priority, i.run_at, i.dedup_key, i.max_attempts, i.backoff,
           i.backoff_base, i.backoff_max, i.timeout, i.expires_after, i.traceparent
    from rows from (jsonb_to_recordset(items) as (
        job_type text, target jsonb, payload jsonb, queue text, priority integer,
        run_at timestamptz, dedup_key text, max_attempts integer, backoff text,
        backoff_base interval, backoff_max interval, timeout interval, expires_after interval,
        traceparent text)) with ordinality
        i(job_type, target, payload, queue, priority, run_at, dedup_key, max_attempts, backoff,
          backoff_base, backoff_max, timeout, expires_after, traceparent, position)
$$;

comment on function scheduler_internal.read_items(jsonb) is 'The items of enqueue_many as rows';
