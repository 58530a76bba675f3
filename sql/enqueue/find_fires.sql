create or replace function scheduler_internal.find_fires(
    shard integer,
    job_id uuid,
    from_time timestamptz
)
returns table (fire_at timestamptz)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- In PL/pgSQL, which keeps the plan: in SQL each change of a schedule planned it anew, for all the
-- days of the history, and took 16 ms with a month of them.
declare
    -- An execution's id carries a time not before its fire time: older partitions need no look.
    v_from constant uuid := scheduler_internal.id_floor(from_time);
begin
    return query
    select h.fire_at from scheduler_internal.history h
    where h.job_id = find_fires.job_id and h.final and h.fire_at >= from_time
      and h.execution_id >= v_from
    union all
    select w.fire_at from scheduler_internal.waiting w
    where w.shard = find_fires.shard and w.job_id = find_fires.job_id and w.fire_at >= from_time
    union all
    select r.fire_at from scheduler_internal.running r
    where r.shard = find_fires.shard and r.job_id = find_fires.job_id and r.fire_at >= from_time;
end;
$$;

comment on function scheduler_internal.find_fires(integer, uuid, timestamptz) is
    'The instants of a job, from a time on, that have an execution';
