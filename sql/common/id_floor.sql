create or replace function scheduler_internal.id_floor(at timestamptz)
returns uuid
language sql
immutable
strict
parallel safe
as $$
    -- Held within the 48 bits that a time has, 1970 to 10889: the digits of another would be cut to
    -- those of a wrong one, e.g. of a time before 1970 to an id above all of ours.
    select (lpad(to_hex(least(greatest(date_part('epoch', at) * 1000, 0), 281474976710655)::bigint),
                 12, '0') || repeat('0', 20))::uuid
$$;

comment on function scheduler_internal.id_floor(timestamptz) is
    'The lowest id of a time: ids compare as their times do, so this bounds a range of history';
