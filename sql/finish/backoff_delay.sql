create or replace function scheduler_internal.backoff_delay(
    policy scheduler_internal.execution_policy,
    failures integer
)
returns interval
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Half of it is random, so that what failed together does not come back together. The exponent
    -- is bounded: 2 ^ 40 times any base is past any backoff_max.
    select (0.5 + random() / 2) * least(
        policy.backoff_max,
        policy.backoff_base * case policy.backoff
            when 'fixed' then 1
            when 'linear' then failures
            else power(2, least(
                failures - 1,
                40 - ceil(log(2, greatest(1, extract(epoch from policy.backoff_base))))
            )::integer)
        end)
$$;

comment on function scheduler_internal.backoff_delay(
    scheduler_internal.execution_policy, integer) is
    'How long to wait after the n-th failure: fixed, linear or exponential from backoff_base up to '
    'backoff_max, and between half and all of that by chance';
