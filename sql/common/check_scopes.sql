create or replace function scheduler_internal.check_scopes(job_type text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- SQL and commands run inside the house: a key of the REST API needs the scope admin to make one,
-- or to change what one does. Where start_request() named no scopes (psql, the command line, a
-- worker), the rights of the database role are all there is.
-- Raises: 42501.
declare
    v_scopes text[];
begin
    if job_type not in ('sql', 'command') then
        return;
    end if;
    v_scopes := string_to_array(scheduler_internal.setting('scopes', 'admin'), ',');
    if 'admin' <> all (v_scopes) then
        perform scheduler_internal.refuse(
            format('a %s job needs the scope admin', job_type),
            format('The key has %s.', array_to_string(v_scopes, ', ')),
            'Use a key with the scope admin, or a job of the type http or python.', '42501',
            'job_type');
    end if;
end;
$$;

comment on function scheduler_internal.check_scopes(text) is
    'Refuses what runs inside the house to API keys without the scope admin';
