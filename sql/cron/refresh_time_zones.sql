create or replace function scheduler_internal.refresh_time_zones() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
-- Copies the names of the server's time zones, because a scan of pg_timezone_names reads every zone
-- file (50 ms). Names that the server no longer knows go.
-- Locks: rows of time_zones that change.
-- Writes: time_zones.
begin
    with known as materialized (
        select n.name
        from pg_timezone_names as n
        where n.name !~ '^(posix|right|SystemV)/'
            and n.name not in ('localtime', 'Factory', 'posixrules')
    ), vanished as (
        delete from scheduler_internal.time_zones as z
        where not exists (select from known as k where k.name = z.name)
    )
    insert into scheduler_internal.time_zones (name)
    select k.name
    from known as k
    on conflict do nothing;
end
$$;
