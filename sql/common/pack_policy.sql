create or replace function scheduler_internal.pack_policy(
    max_attempts integer,
    backoff text,
    backoff_base interval,
    backoff_max interval,
    timeout interval
)
returns scheduler_internal.execution_policy
language sql
immutable
parallel safe
as $$
    -- Null for the defaults, so that most rows do not carry 60 bytes that say nothing.
    select nullif(
        row(max_attempts, backoff, backoff_base, backoff_max,
        timeout)::scheduler_internal.execution_policy, scheduler_internal.default_policy())
$$;

comment on function scheduler_internal.pack_policy(integer, text, interval, interval, interval) is
    'The policy of an execution without a job; null when it is the default';
