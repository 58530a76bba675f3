create or replace function scheduler.get_execution_json(execution_id uuid)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
-- One plan for any id, kept by the session: to plan for the one at hand took twice as long as this.
-- Its id tells the shard and the day: one partition of each table is read, though all are locked.
-- The planner, which adds up all partitions, would start two processes for each call as soon as
-- there is a month of history: 25 ms instead of 0.2.
declare
    v_shard constant integer := scheduler.get_shard_id(execution_id);
begin
    return (
        select row_to_json(x)
        from (
            select e.execution_id, e.job_id, e.job_name, e.job_type, e.queue, e.priority, e.status,
                   e.attempt, e.max_attempts, e.fire_at, e.run_at, e.started_at, e.finished_at,
                   e.worker_id, e.target, e.payload, e.result, e.error, e.progress, e.origin,
                   e.dedup_key, e.traceparent, e.created_at
            from scheduler.executions e
            where e.shard = v_shard and e.execution_id = get_execution_json.execution_id
        ) x);
end;
$$;

comment on function scheduler.get_execution_json(uuid) is
    'An execution as JSON: a row of the view executions, times in UTC; null when there is none';
