-- Without SET, and not strict, so that it is inlined: else each call plans it anew, 70 us; finish()
-- of one execution took a seventh more. Hence the subtraction, too: date_part() of a time is not
-- immutable.
create or replace function scheduler_internal.id_floor(at timestamptz)
returns uuid
language sql
immutable
parallel safe
as $$
    -- Held within the 48 bits that a time has, 1970 to 10889: the digits of another would be cut to
    -- those of a wrong one, e.g. of a time before 1970 to an id above all of ours. Null for null.
    select case when at is not null then (
        lpad(to_hex((1000 * date_part('epoch',
                 least(greatest(at, timestamptz '1970-01-01 00:00+00'),
                       timestamptz '10889-08-02 05:31:50.655+00')
                 - timestamptz '1970-01-01 00:00+00'))::bigint), 12, '0')
        || repeat('0', 20))::uuid end
$$;

comment on function scheduler_internal.id_floor(timestamptz) is
    'The lowest id of a time: ids compare as their times do, so this bounds a range of history';
