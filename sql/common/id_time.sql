create or replace function scheduler_internal.id_time(id uuid)
returns timestamptz
language sql
immutable
strict
parallel safe
as $$
    select to_timestamp(('x' || replace(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)
$$;

comment on function scheduler_internal.id_time(uuid) is 'The time within an id, to the millisecond';
