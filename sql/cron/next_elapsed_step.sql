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
    v_elapsed := (v_elapsed / v_step + 1) * v_step;
    -- Hours apart: as one double precision, which an interval is multiplied by too, it would be
    -- rounded 285 years after the anchor, to an instant that is not after the given one.
    return anchor + make_interval(hours => (v_elapsed / 3600000000)::integer,
                                  secs => (v_elapsed % 3600000000)::double precision / 1000000);
end
$$;
