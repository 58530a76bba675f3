create or replace function scheduler_internal.nth_weekdays(
    nth bigint,
    first_weekday integer,
    month_length integer
) returns bigint
language plpgsql immutable parallel safe
as $$
-- The days meant by `d#n`, `d#L` and `dL` in one month, bit n = day n. nth holds six lanes of
-- seven weekdays: lane n - 1 for the n-th of its kind, the sixth for the last.
-- No `set search_path`: part of next_instant, see there.
declare
    -- Rotating five lanes at once: the weekdays from the 1st's on go to the front of each lane.
    v_counted bigint := nth & 34359738367;
    v_front bigint := ((1 << (7 - first_weekday)) - 1)::bigint * 270549121;
    v_back bigint := (128 - (1 << (7 - first_weekday)))::bigint * 270549121;
    v_last integer := nth >> 35;
begin
    return (
        (
            ((v_counted >> first_weekday) & v_front)
            | ((v_counted << (7 - first_weekday)) & v_back)
        ) << 1
    )
    -- The last seven days are a week of their own, which starts at day length - 6.
    | (
        (((v_last | (v_last << 7)) >> ((first_weekday + month_length) % 7)) & 127)::bigint
        << (month_length - 6)
    );
end
$$;
