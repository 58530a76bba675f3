create or replace function scheduler_internal.check_partitions(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ahead as (
        select count(*) as days
        from generate_series(0, 7) d(day)
        where to_regclass(format('scheduler_internal.history_%s',
                  to_char((at at time zone 'UTC')::date + d.day, 'YYYYMMDD'))) is not null
    ), unusable as (
        select min(s.name) as name
        from (values ('history_retention'), ('audit_retention')) s(name)
        where scheduler_internal.retention(s.name, '1 day') is null
    )
    select 'partitions',
           case when u.name is not null then 'fail' when a.days < 3 then 'warn' else 'ok' end,
           format('history has partitions for %s of the next 8 days', a.days)
               || coalesce('; old ones stay, because scheduler.' || u.name || ' is '
                           || quote_literal(scheduler_internal.database_setting(u.name, '')), ''),
           case when u.name is not null
                then format('Set 1 day or more, with a unit: alter database %I set scheduler.%s = '
                            '''90 days''.', current_database(), u.name)
                else 'Call scheduler.maintain(); a running ticker does it each minute.' end
    from ahead a
    cross join unusable u
$$;

comment on function scheduler_internal.check_partitions(timestamptz) is
    'health(): are partitions made ahead, and dropped in time?';
