create or replace function scheduler_internal.database_setting(name text, fallback text)
returns text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- From the catalogue and not from the session, for which any login may claim what it likes.
    -- What decides about other people's data is asked here.
    select coalesce(
        (select nullif(substr(c, strpos(c, '=') + 1), '')
         from pg_db_role_setting s
         cross join lateral unnest(s.setconfig) c
         where s.setrole = 0
           and s.setdatabase = (select d.oid from pg_database d
                                where d.datname = current_database())
           and split_part(c, '=', 1) = 'scheduler.' || name),
        fallback)
$$;

comment on function scheduler_internal.database_setting(text, text) is
    'A setting of the database, made by alter database app set scheduler.history_retention = '
    '''90 days''; what a session or a role sets for itself does not count';
