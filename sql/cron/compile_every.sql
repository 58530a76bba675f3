create or replace function scheduler_internal.compile_every(
    schedule text,
    every text,
    timezone text
) returns scheduler_internal.schedule_spec
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
-- Part of compile_schedule: `every <n unit | interval> [from <timestamp>]`. schedule is the text as
-- the user wrote it, for messages; every is what is read.
-- Raises: 22023.
declare
    v_spec scheduler_internal.schedule_spec;
    v_parts text[] := regexp_match(every collate "C",
        E'(?i)^every[ \t]+(.*?)(?:[ \t]+from[ \t]+(.*))?$');
    v_step interval;
    v_months integer;
    v_days integer;
    v_seconds numeric;
begin
    v_step := scheduler_internal.parse_step(schedule, coalesce(v_parts[1], ''));
    v_months := extract(year from v_step) * 12 + extract(month from v_step);
    v_days := extract(day from v_step);
    v_seconds := extract(hour from v_step) * 3600 + extract(minute from v_step) * 60
        + extract(second from v_step);
    if v_months < 0 or v_days < 0 or v_seconds < 0 or v_step < interval '1 second' then
        perform scheduler_internal.refuse_schedule(
            schedule, 'The step is shorter than one second.', 'Use "every 1 second" or more.');
    elsif v_step > interval '40 years' then
        perform scheduler_internal.refuse_schedule(
            schedule, 'The step is longer than 40 years.', 'Use a shorter step.');
    elsif (v_months > 0)::integer + (v_days > 0)::integer + (v_seconds > 0)::integer > 1 then
        perform scheduler_internal.refuse_schedule(
            schedule,
            'The step mixes months, days or hours, which are not multiples of each other.',
            'Use months or years, or days or weeks, or hours, minutes and seconds: "36 hours".');
    end if;

    v_spec.step := make_interval(months => v_months, days => v_days, secs => v_seconds::float8);
    v_spec.flags := case when v_seconds > 0 then 32 else 64 end;
    v_spec.anchor := case
        when v_parts[2] is not null then
            scheduler_internal.parse_anchor(schedule, lower(v_parts[2]), timezone)
        -- Aligned: elapsed steps to the Unix epoch, calendar steps to its midnight in the zone.
        when v_seconds > 0 then timestamptz '1970-01-01 00:00+00'
        else timestamp '1970-01-01 00:00' at time zone timezone
    end;
    return v_spec;
end
$$;
