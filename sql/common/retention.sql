create or replace function scheduler_internal.retention(name text, fallback text)
returns interval
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- How long something is kept, by a setting of the database; null where the setting is unusable. A
-- slip there must not destroy what cannot be had back: '30' is 30 seconds to PostgreSQL.
declare
    v_text constant text := scheduler_internal.database_setting(name, fallback);
begin
    return case when v_text ~ '[[:alpha:]:]'
                 and v_text::interval between interval '1 day' and interval '1000 years'
                then v_text::interval end;
exception when data_exception then
    return null;
end;
$$;

comment on function scheduler_internal.retention(text, text) is
    'How long something is kept: 1 day to 1000 years, with a unit; null: the setting says anything '
    'else';
