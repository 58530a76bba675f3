create or replace function scheduler_internal.knows_time_zone(timezone text)
returns boolean
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Whether the server knows a time zone now: those of old schedules may have vanished with an update
-- of the system, and time_zones is a copy. The view fires asks with its reader's rights.
begin
    perform now() at time zone timezone;
    return true;
exception when invalid_parameter_value then
    return false;
end;
$$;

comment on function scheduler_internal.knows_time_zone(text) is
    'Whether the server knows a time zone, without an error where it does not';
