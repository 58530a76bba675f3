create or replace function scheduler_internal.check_policy(
    queue text,
    priority integer,
    max_attempts integer,
    backoff text,
    backoff_base interval,
    backoff_max interval,
    timeout interval,
    expires_after interval
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for the first policy that is out of bounds. The same for jobs and for enqueue.
begin
    if queue is null or queue !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,62}$' then
        perform scheduler_internal.refuse(
            format('invalid queue name %L', left(queue, 80)),
            'A name has 1 to 63 of the characters A-Z a-z 0-9 . _ : - and starts with a letter or '
            'digit.',
            'Choose such a name, for example "default".', argument => 'queue');
    end if;
    if priority is null or priority not between -100 and 100 then
        perform scheduler_internal.refuse(
            format('priority %s is out of range', coalesce(priority::text, 'null')),
            'It is -100 to 100.', 'Use 0 for normal; higher runs sooner.',
            argument => 'priority');
    end if;
    if max_attempts is null or max_attempts not between 1 and 1000 then
        perform scheduler_internal.refuse(
            format('max_attempts %s is out of range', coalesce(max_attempts::text, 'null')),
            'It is 1 to 1000, the first attempt included.', 'Use 1 for no retries.',
            argument => 'max_attempts');
    end if;
    if backoff is null or backoff not in ('fixed', 'linear', 'exponential') then
        perform scheduler_internal.refuse(
            format('unknown backoff %L', backoff), 'It says how the wait between attempts grows.',
            'Use fixed, linear or exponential.', argument => 'backoff');
    end if;
    if backoff_base is null or backoff_base < '0' or backoff_max is null
       or backoff_max < backoff_base or backoff_max > '30 days' then
        perform scheduler_internal.refuse(
            'backoff_base and backoff_max do not fit',
            format('backoff_base is %s, backoff_max is %s.',
                   coalesce(backoff_base::text, 'null'), coalesce(backoff_max::text, 'null')),
            'Give 0 <= backoff_base <= backoff_max <= 30 days.',
            argument => case when backoff_base >= '0' then 'backoff_max' else 'backoff_base' end);
    end if;
    if timeout is null or timeout <= '0' or timeout > '30 days' then
        perform scheduler_internal.refuse(
            format('timeout %s is out of range', coalesce(timeout::text, 'null')),
            'It is longer than zero and at most 30 days.', 'Say how long one attempt may take.',
            argument => 'timeout');
    end if;
    if expires_after <= '0' or expires_after > '100 years' then
        perform scheduler_internal.refuse(
            format('expires_after %s is out of range', expires_after),
            'It is how long an execution may wait for its first start: more than zero, and at '
            'most 100 years.',
            'Leave it null to wait for ever.', argument => 'expires_after');
    end if;
end;
$$;

comment on function scheduler_internal.check_policy(
    text, integer, integer, text, interval, interval, interval, interval) is
    'Bounds the policies that jobs and enqueued executions have in common';
