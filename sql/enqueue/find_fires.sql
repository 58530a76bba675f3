create or replace function scheduler_internal.find_fires(
    shard integer,
    job_id uuid,
    from_time timestamptz
)
returns table (fire_at timestamptz)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- An execution's id carries a time not before its fire time: older partitions need no look.
    select h.fire_at from scheduler_internal.history h
    where h.job_id = find_fires.job_id and h.final and h.fire_at >= from_time
      and h.execution_id >= scheduler_internal.id_floor(from_time)
    union all
    select w.fire_at from scheduler_internal.waiting w
    where w.shard = find_fires.shard and w.job_id = find_fires.job_id and w.fire_at >= from_time
    union all
    select r.fire_at from scheduler_internal.running r
    where r.shard = find_fires.shard and r.job_id = find_fires.job_id and r.fire_at >= from_time
$$;

comment on function scheduler_internal.find_fires(integer, uuid, timestamptz) is
    'The instants of a job, from a time on, that have an execution';
