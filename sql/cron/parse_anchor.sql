create or replace function scheduler_internal.parse_anchor(
    schedule text,
    anchor text,
    timezone text
) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
-- The instant that an `every` schedule counts from, in lower case. Only ISO 8601 is read, because
-- the meaning of any other order depends on DateStyle; without an offset it is local time in the
-- schedule's zone, of a repeated one the first reading.
-- Raises: 22023, also for a local time that the zone skips.
declare
    v_local timestamp;
    v_anchor timestamptz;
begin
    if anchor !~ ('^[0-9]{4}-[0-9]{2}-[0-9]{2}([t ][0-9]{2}:[0-9]{2}(:[0-9]{2})?'
        ' ?(z|[+-][0-9]{2}(:?[0-9]{2})?)?)?$')
    then
        perform scheduler_internal.refuse_schedule(
            schedule, format('"%s" is not an ISO 8601 time', left(anchor, 100)),
            'Write the time after "from" as 2030-01-07 09:00, with or without an offset.');
    end if;
    if anchor ~ '[t ].*[z+-]' then
        v_anchor := anchor::timestamptz;
    else
        v_local := anchor::timestamp;
        v_anchor := (scheduler_internal.resolve_near_change(
            timezone, v_local, after => '-infinity', flags => 0)).instant;
        if v_anchor is null then
            perform scheduler_internal.refuse_schedule(
                schedule,
                format('There is no %s in %s.', to_char(v_local, 'YYYY-MM-DD HH24:MI'), timezone),
                'Start at a local time that exists, or give an offset.');
        end if;
    end if;
    return v_anchor;
exception
    when datetime_field_overflow or invalid_datetime_format then
        perform scheduler_internal.refuse_schedule(
            schedule, format('"%s" is not a time', left(anchor, 100)),
            'Write the time after "from" as 2030-01-07 09:00, with or without an offset.');
end
$$;
