create or replace function scheduler_internal.next_elapsed_step(
    step interval,
    anchor timestamptz,
    after timestamptz
) returns timestamptz
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The first instant strictly after a given one of an `every` schedule that steps by elapsed time:
-- anchor + k * step in whole microseconds, so it neither drifts nor knows of daylight saving.
declare
    v_step bigint := extract(epoch from step) * 1000000;
    v_elapsed bigint := (extract(epoch from after) - extract(epoch from anchor)) * 1000000;
begin
    if after < anchor then
        return anchor;
    end if;
    return anchor + (v_elapsed / v_step + 1) * step;
end
$$;
