-- It had one more argument, for one that is shown alone.
-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.show_executions(uuid[], boolean);

create or replace function scheduler_internal.show_executions(execution_ids uuid[])
returns json
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
-- One plan for any ids, kept by the session: to plan for those at hand took longer than to read
-- them. The limit keeps the look-up of each id apart, so that it is in one partition of each table;
-- a join might read all of what was small when it was planned. By the bounds it leaves out other
-- days and shards when it starts, which is most of what it costs.
declare
    v_oldest constant uuid := (select i from unnest(execution_ids) i order by i limit 1);
    v_newest constant uuid := (select i from unnest(execution_ids) i order by i desc limit 1);
    v_first_shard constant integer := (
        select min(scheduler.get_shard_id(i)) from unnest(execution_ids) i);
    v_last_shard constant integer := (
        select max(scheduler.get_shard_id(i)) from unnest(execution_ids) i);
begin
    return (
        select json_agg(x order by x.execution_id desc)
        from (
            select e.execution_id, e.job_id, e.job_name, e.job_type, e.queue, e.priority, e.status,
                   e.attempt, e.max_attempts, e.fire_at, e.run_at, e.started_at, e.finished_at,
                   e.worker_id, scheduler_internal.shorten(e.target) as target,
                   scheduler_internal.shorten(e.payload) as payload,
                   scheduler_internal.shorten(e.result) as result,
                   scheduler_internal.shorten(e.error) as error,
                   scheduler_internal.shorten(e.progress) as progress,
                   e.origin, e.dedup_key, e.traceparent, e.created_at
            from unnest(execution_ids) i
            cross join lateral (
                select * from scheduler.executions k
                where k.shard = scheduler.get_shard_id(i) and k.execution_id = i
                  and k.shard between v_first_shard and v_last_shard
                  and k.execution_id between v_oldest and v_newest
                limit 1) e
        ) x);
end;
$$;

comment on function scheduler_internal.show_executions(uuid[]) is
    'Executions as the REST API shows them, newest first, their documents shortened in a list';
