create or replace function scheduler_internal.check_partitions(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- Of the table that has the fewest: maintain() passes over one that a client holds.
    select 'partitions', case when count(x.partition) < 3 then 'warn' else 'ok' end,
           format('%s has partitions for %s of the next 8 days', p.parent, count(x.partition)),
           'Call scheduler.maintain(); a running ticker does it each minute. If that does not '
           'help, a transaction left open holds the table: the check vacuum names the oldest.'
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
$$;

comment on function scheduler_internal.check_partitions(timestamptz) is
    'health(): are partitions made ahead?';
