create or replace function scheduler.release(
    worker_id uuid,
    execution_ids uuid[],
    attempts integer[]
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Gives back executions that the worker claimed and did not start. Fenced by attempt: stale ones
-- are left.
-- Locks, Writes: running, waiting. Returns how many were given back.
-- Raises: 22023 for executions that are named without their attempts.
declare
    v_count bigint := 0;
    v_shard integer;
begin
    perform scheduler_internal.check_held(execution_ids, attempts);
    for v_shard in
        select distinct scheduler.get_shard_id(i) as shard from unnest(execution_ids) i order by 1
    loop
        v_count := v_count + scheduler_internal.give_back(v_shard, release.worker_id, array(
            select r.execution_id
            from unnest(execution_ids, attempts) i(execution_id, attempt)
            join scheduler_internal.running r
              on r.shard = v_shard and r.execution_id = i.execution_id and r.attempt = i.attempt
            where r.worker_id = release.worker_id
            order by r.execution_id
            for update of r));
    end loop;
    return v_count;
end;
$$;

comment on function scheduler.release(uuid, uuid[], integer[]) is
    'Gives back executions that a worker claimed and did not start; no attempt is used. Returns '
    'how many';
