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
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set jit = off
as $$
-- The newest executions between two ids (both included) that match, and the id with which the next
-- page begins; null when nothing is left.
--
-- Of each table no more than 20,000 rows are looked at: what is rare does not read a history of
-- millions, but 40 ms. Those of a job are found by the index of its history, but among all of its
-- shard that wait or run. The planner merges them in the order of their indexes, since it may not
-- sort, as far as the page goes. Its plan is for any values and kept by the session (3.4 ms; made
-- for each call 14, where there are 38 days). A null bound leaves a table out when it starts.
declare
    v_now constant timestamptz := scheduler.now();
    v_most constant integer := 20000;
    v_first_shard constant integer := coalesce(scheduler.get_shard_id(job_id), 0);
    v_last_shard constant integer := coalesce(scheduler.get_shard_id(job_id), 15);
    v_waiting_from constant integer := case when 'waiting' = any (stages) then v_first_shard end;
    v_running_from constant integer := case when 'running' = any (stages) then v_first_shard end;
    v_history_from constant uuid := case when 'history' = any (stages) then from_id end;
    v_all_from constant uuid := case when job_id is null then v_history_from end;
    v_its_from constant uuid := case when job_id is not null then v_history_from end;
    v_end uuid;
begin
    execution_ids := array(
        select k.execution_id
        from (
            (select w.execution_id, w.shard, null::integer as end_attempt, w.job_id, w.job_version,
                    w.queue, w.job_type,
                    case when w.run_at <= v_now then 'ready' else 'scheduled' end as status,
                    null::jsonb as error
             from scheduler_internal.waiting w
             where w.execution_id between from_id and upto_id
               and w.shard between v_waiting_from and v_last_shard
             order by w.execution_id desc limit v_most)
            union all
            (select r.execution_id, r.shard, null, r.job_id, r.job_version, r.queue, r.job_type,
                    'running', null
             from scheduler_internal.running r
             where r.execution_id between from_id and upto_id
               and r.shard between v_running_from and v_last_shard
             order by r.execution_id desc limit v_most)
            union all
            (select h.execution_id, h.shard, case when h.final then h.attempt else 0 end, h.job_id,
                    h.job_version, h.queue, h.job_type, h.status, h.error
             from scheduler_internal.history h
             where h.execution_id between v_all_from and upto_id
             order by h.execution_id desc limit v_most)
            union all
            (select h.execution_id, h.shard, h.attempt, h.job_id, h.job_version, h.queue,
                    h.job_type, h.status, h.error
             from scheduler_internal.history h
             where h.execution_id between v_its_from and upto_id
               and h.job_id = find_executions.job_id and h.final
             order by h.execution_id desc limit v_most)
        ) k
        where k.end_attempt is distinct from 0
          and (find_executions.job_id is null or k.job_id = find_executions.job_id)
          and (find_executions.status is null or k.status = find_executions.status)
          and (find_executions.queue is null or k.queue = find_executions.queue)
          and (find_executions.job_type is null or k.job_type = find_executions.job_type)
          and (tag is null or exists (
                select from scheduler_internal.job_versions v
                where v.shard = k.shard and v.job_id = k.job_id and v.version = k.job_version
                  and (v.definition).tags @> array[tag]))
          and (error_contains is null
               or strpos(lower(k.error::text), lower(error_contains)) > 0)
          and not exists (
                select from scheduler_internal.retried t
                where t.shard = k.shard and t.execution_id = k.execution_id
                  and t.attempt = k.end_attempt)
        order by k.execution_id desc
        limit max_rows + 1);
    -- It ends where it is full, or before that where a table was looked at no further.
    v_end := coalesce(execution_ids[max_rows + 1], from_id);
    next_id := greatest(
        execution_ids[max_rows + 1],
        (select w.execution_id from scheduler_internal.waiting w
         where w.execution_id between v_end and upto_id
           and w.shard between v_waiting_from and v_last_shard
         order by w.execution_id desc offset v_most limit 1),
        (select r.execution_id from scheduler_internal.running r
         where r.execution_id between v_end and upto_id
           and r.shard between v_running_from and v_last_shard
         order by r.execution_id desc offset v_most limit 1),
        (select h.execution_id from scheduler_internal.history h
         where h.execution_id between v_all_from and upto_id and h.execution_id >= v_end
         order by h.execution_id desc offset v_most limit 1),
        (select h.execution_id from scheduler_internal.history h
         where h.execution_id between v_its_from and upto_id and h.execution_id >= v_end
           and h.job_id = find_executions.job_id and h.final
         order by h.execution_id desc offset v_most limit 1));
    -- Its own rows may lie on both sides of the end: it belongs to the next page, as what follows.
    execution_ids := array(
        select i from unnest(execution_ids) i where next_id is null or i > next_id);
end;
$$;

comment on function scheduler_internal.find_executions(
    text[], text, uuid, text, text, text, text, uuid, uuid, integer) is
    'The ids of a page of list_executions(), and where the next one begins';
