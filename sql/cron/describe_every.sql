create or replace function scheduler_internal.describe_every(schedule text, step interval)
returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of describe: a valid `every` schedule; step is its compiled step.
declare
    v_months integer := extract(year from step) * 12 + extract(month from step);
    v_days integer := extract(day from step);
    v_seconds numeric := extract(epoch from step);
    v_from text := substring(schedule from E'(?i)[ \t]from[ \t]+(.*)$');
    v_step text;
begin
    if v_months > 0 and v_months % 12 = 0 then
        v_step := scheduler_internal.describe_distance(v_months / 12, 'year');
    elsif v_months > 0 then
        v_step := scheduler_internal.describe_distance(v_months, 'month');
    elsif v_days > 0 and v_days % 7 = 0 then
        v_step := scheduler_internal.describe_distance(v_days / 7, 'week');
    elsif v_days > 0 then
        v_step := scheduler_internal.describe_distance(v_days, 'day');
    elsif v_seconds % 3600 = 0 then
        v_step := scheduler_internal.describe_distance((v_seconds / 3600)::integer, 'hour');
    elsif v_seconds % 60 = 0 then
        v_step := scheduler_internal.describe_distance((v_seconds / 60)::integer, 'minute');
    elsif v_seconds = 1 then
        v_step := 'every second';
    else
        v_step := format('every %s seconds', trim_scale(v_seconds));
    end if;
    return v_step || case
        when v_from is not null then ', counted from ' || v_from
        -- Said only where it is not what one expects: the start of a day, month or year.
        when v_days > 1 or v_months > 1 then ', counted from 1970-01-01'
        when v_seconds > 0 and v_days + v_months = 0 and 86400 % v_seconds <> 0 then
            ', counted from 1970-01-01 00:00 UTC'
        else ''
    end;
end
$$;
