create or replace function scheduler_internal.nearest_workdays(
    days bigint,
    first_weekday integer,
    month_length integer
) returns bigint
language plpgsql immutable parallel safe
as $$
-- The days meant by `nW` (bit n of days) and `LW` (bit 0) in one month, bit n = day n: the
-- Monday to Friday nearest to day n, never outside the month. A month without a day n has none.
-- No `set search_path`: part of next_instant, see there.
declare
    v_last bigint := 1::bigint << month_length;
    v_saturdays bigint := scheduler_internal.repeat_week(64, first_weekday);
    v_sundays bigint := scheduler_internal.repeat_week(1, first_weekday);
    v_days bigint := (days & ((v_last << 1) - 2)) | ((days & 1) << month_length);
begin
    return (v_days & ~(v_saturdays | v_sundays))
        -- A Saturday goes back to Friday, but the 1st forward to Monday the 3rd.
        | ((v_days & v_saturdays & -4) >> 1)
        | ((v_days & v_saturdays & 2) << 2)
        -- A Sunday goes on to Monday, but the month's last day back to Friday.
        | ((v_days & v_sundays & ~v_last) << 1)
        | ((v_days & v_sundays & v_last) >> 2);
end
$$;
