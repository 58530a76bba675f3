create or replace function scheduler_internal.next_matching_day(
    spec scheduler_internal.schedule_spec,
    from_day integer
) returns integer
language plpgsql immutable parallel safe
as $$
-- The first day at or after from_day (both counted from 1970-01-01) on which a cron schedule
-- runs; null when there is none. Each month is one mask of its matching days, so nothing walks
-- over days, and months that are not selected are jumped over.
-- No `set search_path`: part of next_instant, see there.
declare
    v_date timestamp := date '1970-01-01' + from_day;
    v_year integer := date_part('year', v_date);
    v_month integer := date_part('month', v_date);
    v_day integer := date_part('day', v_date);
    -- The longest wait there is: 29 February on a given weekday, across 2100 (40 years).
    v_last_year integer := v_year + 41;
    v_months integer;
    v_first integer := from_day - v_day + 1;    -- the 1st of the month
    v_weekday integer;      -- weekday of the 1st, 0 = Sunday
    v_length integer;       -- days in the month
    v_month_days bigint;    -- all of them, bit n = day n
    v_by_date bigint;       -- days chosen by the day-of-month field, bit n = day n
    v_by_weekday bigint;    -- days chosen by the day-of-week field
    v_matches bigint;
begin
    loop
        v_months := spec.mon >> v_month;
        if v_months & 1 = 0 then
            if v_months = 0 then
                v_year := v_year + 1;
                v_month := scheduler_internal.lowest_bit(spec.mon);
            else
                v_month := v_month + scheduler_internal.lowest_bit(v_months);
            end if;
            v_day := 1;
        end if;
        if spec.years is not null then
            if v_year <> all (spec.years) then
                v_year := (select min(y) from unnest(spec.years) as y where y > v_year);
                v_month := scheduler_internal.lowest_bit(spec.mon);
                v_day := 1;
                if v_year is null then
                    return null;
                end if;
            end if;
        elsif v_year > v_last_year then
            return null;
        end if;

        if v_day = 1 then
            v_first := make_date(v_year, v_month, 1) - date '1970-01-01';
        end if;
        -- 1970-01-01 was a Thursday; 1400000 is a multiple of 7 that keeps it positive.
        v_weekday := (v_first + 1400004) % 7;
        -- Two bits a month hold its length beyond 28.
        v_length := 28 + ((62648012 >> (2 * v_month)) & 3);
        if v_month = 2 and v_year % 4 = 0 and (v_year % 100 <> 0 or v_year % 400 = 0) then
            v_length := 29;
        end if;
        v_month_days := (1::bigint << (v_length + 1)) - 2;

        v_by_date := spec.dom;
        v_by_weekday := scheduler_internal.repeat_week(spec.dow, v_weekday);
        if spec.flags & 8 <> 0 then
            v_by_date := v_by_date | (spec.lom >> (31 - v_length));
            if spec.wd <> 0 then
                -- `nW` is bit n, and none in a month without a day n; `LW` is bit 0.
                v_matches := (spec.wd & v_month_days) | ((spec.wd & 1) << v_length);
                v_by_date := v_by_date | scheduler_internal.nearest_workdays(
                    v_matches,
                    scheduler_internal.repeat_week(64, v_weekday),
                    scheduler_internal.repeat_week(1, v_weekday),
                    v_length);
            end if;
            if spec.nth <> 0 then
                v_by_weekday := v_by_weekday
                    | scheduler_internal.nth_weekdays(spec.nth, v_weekday, v_length);
            end if;
        end if;
        if spec.flags & 1 <> 0 then
            v_matches := v_by_date & v_by_weekday;
        else
            v_matches := v_by_date | v_by_weekday;
        end if;
        v_matches := (v_matches & v_month_days) >> v_day;
        if v_matches <> 0 then
            return v_first + v_day - 1 + scheduler_internal.lowest_bit(v_matches);
        end if;

        v_day := 1;
        v_month := v_month + 1;
        if v_month = 13 then
            v_month := 1;
            v_year := v_year + 1;
        end if;
    end loop;
end
$$;
