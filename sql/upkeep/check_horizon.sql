create or replace function scheduler_internal.check_horizon(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- An old snapshot keeps vacuum from the dead rows at the head of the queue, and each claim
    -- walks them. The real clock here: these are the server's own times.
    with holder as (
        select format('transaction of %s, pid %s, open for %s (%s)',
                      coalesce(a.usename, '?'), a.pid,
                      date_trunc('second', clock_timestamp() - a.xact_start),
                      coalesce(nullif(a.application_name, ''), 'no application_name')) as who,
               clock_timestamp() - a.xact_start as age,
               format('If it is not needed: select pg_terminate_backend(%s).', a.pid) as hint
        from pg_stat_activity a
        where a.xact_start is not null and (a.backend_xmin is not null or a.backend_xid is not null)
          and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
          and a.datname = current_database()  -- those of other databases hold back nothing here
        union all
        select format('prepared transaction %s, since %s', p.gid, p.prepared),
               clock_timestamp() - p.prepared,
               format('Commit or roll it back: rollback prepared %L.', p.gid)
        from pg_prepared_xacts p
        where p.database = current_database()
        union all
        select format('replication slot %s%s', s.slot_name,
                      case when s.active then '' else ' (inactive)' end),
               make_interval(secs => greatest(age(s.xmin), age(s.catalog_xmin)) / 1000.0),
               format('If nothing uses it: select pg_drop_replication_slot(%L).', s.slot_name)
        from pg_replication_slots s
        where greatest(age(s.xmin), age(s.catalog_xmin)) > 100000
        union all
        select format('replica %s, by hot_standby_feedback',
                      coalesce(nullif(r.application_name, ''), r.pid::text)),
               make_interval(secs => age(r.backend_xmin) / 1000.0),
               'End the long query on that replica, or set hot_standby_feedback = off there.'
        from pg_stat_replication r
        where age(r.backend_xmin) > 100000
    ), oldest as (
        select * from holder h where h.age > interval '1 minute' order by h.age desc limit 1
    )
    select 'vacuum',
           case when o.who is null then 'ok'
                when o.age > interval '10 minutes' then 'fail' else 'warn' end,
           coalesce('held back by ' || o.who, 'nothing holds it back'), o.hint
    from (values (1)) one
    left join oldest o on true
$$;

comment on function scheduler_internal.check_horizon(timestamptz) is
    'health(): which transaction, slot or replica holds back vacuum?';
