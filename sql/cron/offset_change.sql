create or replace function scheduler_internal.offset_change(
    timezone text,
    lower_bound timestamptz,
    upper_bound timestamptz
) returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The first second in (lower_bound, upper_bound] at which the zone shows another UTC offset than
-- at lower_bound. The caller knows that there is exactly one change in between.
-- Only reached in the hours around a change: a binary search of 12 to 17 steps.
declare
    v_before bigint := floor(date_part('epoch', lower_bound));
    v_after bigint := ceil(date_part('epoch', upper_bound));
    v_middle bigint;
    v_offset interval :=
        (lower_bound at time zone timezone) - (lower_bound at time zone 'UTC');
begin
    while v_after - v_before > 1 loop
        v_middle := (v_before + v_after) / 2;
        if (to_timestamp(v_middle) at time zone timezone)
            - (to_timestamp(v_middle) at time zone 'UTC') = v_offset
        then
            v_before := v_middle;
        else
            v_after := v_middle;
        end if;
    end loop;
    return to_timestamp(v_after);
end
$$;
