create or replace function scheduler_internal.show_executions(execution_ids uuid[], brief boolean)
returns json
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
-- Planned for the ids at hand. One alone tells its shard: one partition of each table.
declare
    v_shard constant integer := case when cardinality(execution_ids) = 1
                                     then scheduler.get_shard_id(execution_ids[1]) end;
begin
    return (
        select json_agg(x order by x.execution_id desc)
        from (
            select e.execution_id, e.job_id, e.job_name, e.job_type, e.queue, e.priority, e.status,
                   e.attempt, e.max_attempts, e.fire_at, e.run_at, e.started_at, e.finished_at,
                   e.worker_id, scheduler_internal.shorten(e.target, brief) as target,
                   scheduler_internal.shorten(e.payload, brief) as payload,
                   scheduler_internal.shorten(e.result, brief) as result,
                   scheduler_internal.shorten(e.error, brief) as error,
                   scheduler_internal.shorten(e.progress, brief) as progress,
                   e.origin, e.dedup_key, e.traceparent, e.created_at
            from scheduler.executions e
            where (v_shard is null or e.shard = v_shard) and e.execution_id = any (execution_ids)
        ) x);
end;
$$;

comment on function scheduler_internal.show_executions(uuid[], boolean) is
    'Executions as the REST API shows them, newest first, their documents shortened in a list';
