create or replace function scheduler_internal.nth_weekdays(
    nth bigint,
    first_weekday integer,
    month_length integer
) returns bigint
language sql immutable parallel safe
as $$
    -- The days meant by `d#n`, `d#L` and `dL` in one month, bit n = day n. nth holds six lanes of
    -- seven weekdays: lane n - 1 for the n-th of its kind, the sixth for the last.
    -- No `set search_path`, not strict: either would keep the planner from inlining it.
    -- All five counted weeks are rotated at once: the weekdays from the 1st's on go to the front.
    select (
        (
            (
                ((nth & 34359738367) >> first_weekday)
                & (((1 << (7 - first_weekday)) - 1)::bigint * 270549121)
            ) | (
                ((nth & 34359738367) << (7 - first_weekday))
                & ((128 - (1 << (7 - first_weekday)))::bigint * 270549121)
            )
        ) << 1
    )
    -- The last seven days are a week of their own, which starts at day length - 6.
    | (
        (scheduler_internal.repeat_week(
            (nth >> 35)::integer, (first_weekday + month_length) % 7) & 254)
        << (month_length - 7)
    )
$$;
