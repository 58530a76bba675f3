create or replace function scheduler_internal.id_floor(at timestamptz)
returns uuid
language sql
immutable
strict
parallel safe
as $$
    select (lpad(to_hex((date_part('epoch', at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

comment on function scheduler_internal.id_floor(timestamptz) is
    'The lowest id of a time: ids compare as their times do, so this bounds a range of history';
