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
    )
    select 'partitions', case when a.days < 3 then 'warn' else 'ok' end,
           format('history has partitions for %s of the next 8 days', a.days),
           'Call scheduler.maintain(); a running ticker does it each minute.'
    from ahead a
$$;

comment on function scheduler_internal.check_partitions(timestamptz) is
    'health(): are partitions made ahead?';
