create or replace function scheduler_internal.check_partitions(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- Of the table that has the fewest: maintain() passes over one that a client holds.
    with ahead as (
        select p.parent, count(x.partition) as days
        from unnest('{history,skipped_fires,rollups,audit_log,idempotency_keys}'::text[])
                 with ordinality p(parent, position)
        cross join generate_series(0, 7) d(day)
        cross join lateral (
            select to_regclass(format('scheduler_internal.%s_%s', p.parent,
                       to_char((at at time zone 'UTC')::date + d.day, 'YYYYMMDD'))) as partition
        ) x
        group by p.parent, p.position
        order by count(x.partition), p.position
        limit 1
    ), unusable as (
        select min(s.name) as name
        from (values ('history_retention'), ('audit_retention')) s(name)
        where scheduler_internal.retention(s.name, '1 day') is null
    )
    select 'partitions',
           case when u.name is not null then 'fail' when a.days < 3 then 'warn' else 'ok' end,
           format('%s has partitions for %s of the next 8 days', a.parent, a.days)
               || coalesce('; old ones stay, because scheduler.' || u.name || ' is '
                           || quote_literal(scheduler_internal.database_setting(u.name, '')), ''),
           case when u.name is not null
                then format('Set 1 day or more, with a unit: alter database %I set scheduler.%s = '
                            '''90 days''.', current_database(), u.name)
                else 'Call scheduler.maintain(); a running ticker does it each minute. If that '
                     'does not help, a transaction left open holds the table: the check vacuum '
                     'names the oldest.' end
    from ahead a
    cross join unusable u
$$;

comment on function scheduler_internal.check_partitions(timestamptz) is
    'health(): are partitions made ahead, and dropped in time?';
