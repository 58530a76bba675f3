create or replace function scheduler_internal.nearest_workdays(
    days bigint,
    saturdays bigint,
    sundays bigint,
    month_length integer
) returns bigint
language sql immutable parallel safe
as $$
    -- The days that `W` moves these days of a month to, bit n = day n: the nearest Monday to
    -- Friday, never outside the month.
    -- No `set search_path`, not strict: either would keep the planner from inlining it.
    select (days & ~(saturdays | sundays))
        -- A Saturday goes back to Friday, but the 1st forward to Monday the 3rd.
        | ((days & saturdays & -4) >> 1)
        | ((days & saturdays & 2) << 2)
        -- A Sunday goes on to Monday, but the month's last day back to Friday.
        | ((days & sundays & ~(1::bigint << month_length)) << 1)
        | ((days & sundays & (1::bigint << month_length)) >> 2)
$$;
