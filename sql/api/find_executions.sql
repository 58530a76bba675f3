create or replace function scheduler_internal.find_executions(
    stages text[],
    status text,
    job_id uuid,
    queue text,
    job_type text,
    tag text,
    error_contains text,
    from_id uuid,
    upto_id uuid,
    max_rows integer,
    out execution_ids uuid[],
    out next_id uuid
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- The newest executions between two ids (both included) that match, and the id with which the next
-- page begins; null when nothing is left.
--
-- Of a job the index of its history is read; but its waiting and running ones are looked for among
-- all of its shard. No more than 20,000 rows are looked at, so that what is rare does not read a
-- history of millions: 50 ms. Planned for the values at hand: what is not asked for is not in the
-- plan, neither are tables and partitions without an answer.
declare
    v_window constant integer := 20000;
    v_now constant timestamptz := scheduler.now();
    v_shard constant integer := scheduler.get_shard_id(job_id);
begin
    execution_ids := array(
        select k.execution_id
        from (
            select k.*
            from scheduler_internal.execution_keys k
            where k.stage = any (stages) and k.execution_id between from_id and upto_id
              and (v_shard is null or k.shard = v_shard)
              and (v_shard is null or k.stage <> 'history'
                   or k.job_id = find_executions.job_id and k.final)
            order by k.execution_id desc
            limit v_window
        ) k
        where k.final
          and (find_executions.job_id is null or k.job_id = find_executions.job_id)
          and (find_executions.status is null or find_executions.status = coalesce(
                k.status, case when k.run_at <= v_now then 'ready' else 'scheduled' end))
          and (find_executions.queue is null or k.queue = find_executions.queue)
          and (find_executions.job_type is null or k.job_type = find_executions.job_type)
          and (tag is null or exists (
                select from scheduler_internal.job_versions v
                where v.shard = k.shard and v.job_id = k.job_id and v.version = k.job_version
                  and (v.definition).tags @> array[tag]))
          and (error_contains is null
               or strpos(lower(k.error::text), lower(error_contains)) > 0)
          and (k.stage <> 'history' or not exists (
                select from scheduler_internal.retried t
                where t.shard = k.shard and t.execution_id = k.execution_id
                  and t.attempt = k.attempt))
        order by k.execution_id desc
        limit max_rows + 1);
    if cardinality(execution_ids) > max_rows then
        next_id := execution_ids[max_rows + 1];
    else
        select k.execution_id into next_id
        from scheduler_internal.execution_keys k
        where k.stage = any (stages) and k.execution_id between from_id and upto_id
          and (v_shard is null or k.shard = v_shard)
          and (v_shard is null or k.stage <> 'history'
               or k.job_id = find_executions.job_id and k.final)
        order by k.execution_id desc
        offset v_window
        limit 1;
    end if;
    -- It may have rows on both sides of the end: it belongs to the next page.
    execution_ids := array_remove(execution_ids, next_id);
end;
$$;

comment on function scheduler_internal.find_executions(
    text[], text, uuid, text, text, text, text, uuid, uuid, integer) is
    'The ids of a page of list_executions(), and where the next one begins';
