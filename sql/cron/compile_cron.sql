create or replace function scheduler_internal.compile_cron(
    schedule text,
    cron text,
    hash_key text
) returns scheduler_internal.schedule_spec
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of compile_schedule: five to seven cron fields or a nickname. schedule is the text as the
-- user wrote it, for messages; cron is what is read.
-- Raises: 22023; a warning when Vixie cron or Quartz would read the day fields otherwise.
declare
    v_spec scheduler_internal.schedule_spec;
    v_fields text[] := regexp_split_to_array(
        scheduler_internal.expand_nickname(schedule, cron), E'[ \t]+');
    v_by_date text;
    v_by_weekday text;
    v_is_both boolean;
begin
    if cron ~* '^(CRON_)?TZ=' then
        perform scheduler_internal.refuse_schedule(schedule, 'A time zone is no part of it.',
            'Give the zone by itself, as timezone: Europe/Berlin.');
    elsif cardinality(v_fields) not between 5 and 7 then
        perform scheduler_internal.refuse_schedule(
            schedule, format('It has %s field(s).', cardinality(v_fields)),
            case  -- as pg_cron and systemd have it
                when cron ~ E'^[0-9]+[ \t]+(second|minute|hour|day|week|month|year)s?$'
                then format('Write "every %s".', cron)
                when cron ~ '^(hourly|daily|weekly|monthly|yearly)$'
                then format('Write "@%s".', cron)
            end);
    elsif cardinality(v_fields) = 5 then
        v_fields := array_prepend('0', v_fields);
    end if;
    v_spec.sec := scheduler_internal.bit_mask(
        scheduler_internal.parse_field(schedule, 'second', v_fields[1], hash_key));
    v_spec.min := scheduler_internal.bit_mask(
        scheduler_internal.parse_field(schedule, 'minute', v_fields[2], hash_key));
    v_spec.hour := scheduler_internal.bit_mask(
        scheduler_internal.parse_field(schedule, 'hour', v_fields[3], hash_key));
    v_spec.mon := scheduler_internal.bit_mask(
        scheduler_internal.parse_field(schedule, 'month', v_fields[5], hash_key));
    if v_fields[7] <> '*' then
        v_spec.years := array(
            select distinct y
            from unnest(
                scheduler_internal.parse_field(schedule, 'year', v_fields[7], hash_key)) as y
            order by y);
    end if;

    v_is_both := v_fields[6] like '+%';
    v_by_date := case v_fields[4] when '?' then '*' else v_fields[4] end;
    v_by_weekday := case when v_is_both then substr(v_fields[6], 2) else v_fields[6] end;
    v_by_weekday := case v_by_weekday when '?' then '*' else v_by_weekday end;
    select d.dom, d.lom, d.wd into v_spec.dom, v_spec.lom, v_spec.wd
    from scheduler_internal.parse_month_days(schedule, v_by_date, hash_key) as d;
    select d.dow, d.nth into v_spec.dow, v_spec.nth
    from scheduler_internal.parse_weekdays(schedule, v_by_weekday, hash_key) as d;

    -- A day field is unrestricted only if its first entry is exactly `*`; two restricted ones mean
    -- either, an unrestricted one leaves the decision to the other, and `+` asks for both.
    v_is_both := v_is_both
        or split_part(v_by_date, ',', 1) = '*'
        or split_part(v_by_weekday, ',', 1) = '*';
    if not v_is_both and (v_by_date like '*%' or v_by_weekday like '*%') then
        raise warning using
            message = format('schedule "%s" runs on days that match either day field', schedule),
            detail = format('Vixie cron runs it only on days that match both day-of-month "%s"'
                ' and day-of-week "%s", because one of them starts with "*".',
                v_fields[4], v_fields[6]),
            hint = format('Write "+%s" as day-of-week to ask for both, or a range such as "%s"'
                ' in place of the "*" to ask for either everywhere.', v_fields[6],
                case when v_by_date like '*%' then '1-31/2' else '0-6/2' end);
    end if;
    if v_fields[4] = '?' and v_by_weekday ~ '(^|[,-])[0-9]' then
        raise warning using
            message = format('schedule "%s" counts weekdays from Sunday as 0', schedule),
            detail = format('Quartz, which writes "?", counts from Sunday as 1: there "%s" is a day'
                ' earlier.', v_fields[6]),
            hint = 'Write names, such as MON-FRI or FRIL, which mean the same everywhere.';
    end if;

    v_spec.tod0 := scheduler_internal.lowest_bit(v_spec.hour) * 3600
        + scheduler_internal.lowest_bit(v_spec.min) * 60
        + scheduler_internal.lowest_bit(v_spec.sec);
    v_spec.flags := case when v_is_both then 1 else 0 end
        | case when (v_spec.nth | v_spec.lom | v_spec.wd) <> 0 then 8 else 0 end
        -- An interval schedule: second, minute or hour starts with `*`, or is a hashed step.
        | case when exists (
            select from unnest(v_fields[1:3]) as f
            where f ~ '^([*]|H([(][0-9]+-[0-9]+[)])?/)'
        ) then 4 else 0 end;
    if v_is_both and v_spec.dow = 127 and v_spec.dom = 4294967294 and v_spec.mon = 8190
        and v_spec.years is null
    then
        v_spec.flags := v_spec.flags | 2;
    end if;
    return v_spec;
end
$$;
