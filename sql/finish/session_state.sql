create or replace function scheduler_internal.session_state()
returns text
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A digest of what outlives a transaction and can turn against whoever uses the session next:
    -- settings, open cursors, temporary objects. (Not the search path, which this function has set
    -- itself: check_session() is told that one. An empty setting may be one that there never was.
    -- What no rollback undoes is tidy_session()'s.)
    select md5(concat_ws(
        '/',
        (select string_agg(s.name || '=' || s.setting, '/' order by s.name) from pg_settings s
         where s.name <> 'search_path' and not starts_with(s.name, 'transaction_')
           and s.setting <> ''),
        -- Ours are not listed there.
        (select string_agg(n || '=' || scheduler_internal.setting(n, ''), '/')
         from unnest('{fake_now,tick_lock,history_retention,audit_retention,request_id,api_key,'
                     'scopes,traceparent,notify,execution_id,attempt,fire_at,payload}'::text[]) n),
        (select string_agg(c.name || c.creation_time, '/' order by c.name) from pg_cursors c
         where c.is_holdable),
        -- Tables, functions, types and all else that lies in the schema.
        (select string_agg(d.classid || '.' || d.objid, '/' order by d.classid, d.objid)
         from pg_depend d
         where d.refclassid = 'pg_namespace'::regclass and d.refobjid = pg_my_temp_schema())))
$$;

comment on function scheduler_internal.session_state() is
    'A digest of the state of this session that a SQL job must leave as it was';
