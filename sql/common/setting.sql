create or replace function scheduler_internal.setting(name text, fallback text)
returns text
language sql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(nullif(current_setting('scheduler.' || name, true), ''), fallback)
$$;

comment on function scheduler_internal.setting(text, text) is
    'A setting of the namespace scheduler as this session has it; for one that its login must not '
    'choose: database_setting()';
