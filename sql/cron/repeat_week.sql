create or replace function scheduler_internal.repeat_week(week integer, first_weekday integer)
returns bigint
language sql immutable parallel safe
as $$
    -- The days 1 to 35 of a month as bits, from a mask of weekdays (bit 0 = Sunday) and the
    -- weekday of the 1st: the week is rotated, then repeated five times by one multiplication.
    -- No `set search_path`, not strict: either would keep the planner from inlining it.
    select ((((week | (week << 7)) >> first_weekday) & 127)::bigint * 270549121) << 1
$$;
