create or replace function scheduler_internal.describe_days(
    by_date text,
    month text,
    by_weekday text,
    must_match_both boolean
) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of describe: the days, from three valid fields; empty for every day.
declare
    v_months text := scheduler_internal.describe_entries('month', month);
    v_dates text;
    v_weekdays text;
begin
    if split_part(by_date, ',', 1) not in ('*', '?') then
        v_dates := format('%s of %s', scheduler_internal.describe_entries('day-of-month', by_date),
            case month when '*' then 'the month' else v_months end);
    end if;
    by_weekday := ltrim(by_weekday, '+');
    if split_part(by_weekday, ',', 1) not in ('*', '?') then
        v_weekdays := scheduler_internal.describe_entries('day-of-week', by_weekday);
    end if;

    if v_dates is not null and v_weekdays is not null and must_match_both then
        return format(' on %s, only if it is %s', v_dates, v_weekdays);
    elsif v_dates is not null and v_weekdays is null then
        return ' on ' || v_dates;
    end if;
    return coalesce(' on ' || v_dates || ' or', '')
        || coalesce(' on ' || v_weekdays, '')
        || case month when '*' then '' else ' in ' || v_months end;
end
$$;
