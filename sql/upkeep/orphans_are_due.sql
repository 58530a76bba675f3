create or replace function scheduler_internal.orphans_are_due()
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- By the real clock: it spares work, and no promise hangs on it.
    select m.at is null or m.at <= clock_timestamp()
    from scheduler_internal.marks m
    where m.name = 'orphans'
$$;

comment on function scheduler_internal.orphans_are_due() is
    'Whether reap() is to look for executions of no worker without a reason';
