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
    v_spec scheduler_internal.schedule_spec;
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
        -- The day after the day before: next_instant finds the first reading, if there is any.
        v_spec.flags := 64;
        v_spec.step := interval '1 day';
        v_spec.anchor := (v_local - interval '1 day') at time zone timezone;
        v_anchor := scheduler_internal.next_instant(v_spec, timezone, v_spec.anchor);
        if v_anchor at time zone timezone is distinct from v_local then
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
