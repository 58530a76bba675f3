create or replace function scheduler_internal.parse_step(schedule text, step text) returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
-- The step of an `every` schedule, in lower case: `15 minutes`, `minute`, or PostgreSQL's
-- own interval input where it says its units.
-- Raises: 22023.
declare
    v_text text := upper(case when step ~ '^[a-z]+$' then '1 ' || step else step end collate "C");
begin
    -- A number without a unit would silently be seconds; infinite steps exist since PostgreSQL 17.
    if v_text !~ '[A-Z:]' or v_text ~ 'INF' then
        perform scheduler_internal.refuse_schedule(
            schedule, format('"%s" is not a length of time with a unit', left(step, 100)),
            'Write for example "every 15 minutes" or "every 2 weeks from 2030-01-07 09:00".');
    end if;
    return v_text::interval;
exception
    when invalid_datetime_format or datetime_field_overflow or interval_field_overflow then
        perform scheduler_internal.refuse_schedule(
            schedule, format('"%s" is not a length of time', left(step, 100)),
            'Write for example "every 15 minutes" or "every 2 weeks from 2030-01-07 09:00".');
end
$$;
