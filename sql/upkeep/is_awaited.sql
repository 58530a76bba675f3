create or replace function scheduler_internal.is_awaited(day date)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with bound as (
        select scheduler_internal.id_floor(day::timestamp at time zone 'UTC') as low,
               scheduler_internal.id_floor((day + 1)::timestamp at time zone 'UTC') as high
    )
    select exists (select from scheduler_internal.waiting w, bound b
                   where w.execution_id >= b.low and w.execution_id < b.high)
        or exists (select from scheduler_internal.running r, bound b
                   where r.execution_id >= b.low and r.execution_id < b.high)
$$;

comment on function scheduler_internal.is_awaited(date) is
    'Whether an execution that has not ended belongs to the history of this day';
