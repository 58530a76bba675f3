create or replace function scheduler_internal.check_run_at(run_at timestamptz, at timestamptz)
returns timestamptz
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Returns when to run: at the earliest now, which is `at`. Raises: 22023 beyond the year 2199.
begin
    if run_at > '2199-12-31' then  -- infinity too: it means "held" in our tables
        perform scheduler_internal.refuse(
            format('run_at %s is out of range', run_at), 'Schedules end with the year 2199.',
            'Give a time before 2200.', argument => 'run_at');
    end if;
    return greatest(run_at, at);
end;
$$;

comment on function scheduler_internal.check_run_at(timestamptz, timestamptz) is
    'A wanted start, not before now and within the range of schedules';
