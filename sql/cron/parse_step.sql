create or replace function scheduler_internal.parse_step(schedule text, step text) returns interval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
-- The step of an `every` schedule: `minute`, `15 minutes`, `1h30m`, `PT15M` or `00:15:00`.
--
-- Each number with its unit: PostgreSQL reads more, and otherwise than it is meant: "day 09:00" as
-- 9 hours, "1 hour 30" as half a minute more, "hours 2" as 2 seconds, "mon" as a month, "dec" as
-- ten years.
-- Raises: 22023.
declare
    v_step text := lower(step collate "C");
    -- systemd's M is a month, PostgreSQL's a minute.
    v_is_unclear boolean := v_step = 'mon'
        or v_step !~ '^p' and step ~ E'(^|[0-9. \t])M([ \t,0-9]|$)';
begin
    -- Infinite steps exist since PostgreSQL 17.
    if v_is_unclear or v_step = 'dec' or v_step ~ '^inf' or v_step !~ (E'^([a-z]+'
        '|([+-]?[0-9.]+[ \t]*[a-z]+[ \t,]*)+|[0-9]+:[0-9]{2}:[0-9.]+'
        '|p([0-9.]+[ymwd])*(t([0-9.]+[hms])+)?)$')
    then
        raise invalid_datetime_format;
    end if;
    -- Upper case for ISO 8601.
    return upper(case when v_step ~ '^[a-z]+$' then '1 ' || v_step else v_step end
        collate "C")::interval;
exception
    when invalid_datetime_format or datetime_field_overflow or interval_field_overflow then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('"%s" is not a length of time with a unit for each number', left(step, 100)),
            case when v_is_unclear
                then 'Write "minutes" or "months" in full. Mondays are cron: "0 9 * * MON".'
                else 'Write for example "every 15 minutes" or "every 2 weeks from 2030-01-07 09:00"'
                    '. Weekdays and times of day are cron: "0 9 * * MON".'
            end);
end
$$;
