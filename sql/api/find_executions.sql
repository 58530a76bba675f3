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
-- millions, but 40 ms. The row that follows them passes unmatched, and there the page ends. What
-- did not succeed has an index of its own, and so has the history of a job; but those of a job that
-- wait or run are found among all of its shard. The planner merges the tables in the order of their
-- indexes, since it may not sort, as far as the page goes; what waits and what runs is read by
-- scan_alive() where its tables are short. Its plan is for any values and kept by the session. A
-- null bound leaves a table out when it starts.
declare
    v_now constant timestamptz := scheduler.now();
    v_most constant integer := 20000;
    v_first_shard constant integer := coalesce(scheduler.get_shard_id(job_id), 0);
    v_last_shard constant integer := coalesce(scheduler.get_shard_id(job_id), 15);
    v_short constant integer := 4000000;  -- bytes
    v_waiting constant bigint := (
        select sum(pg_relation_size('scheduler_internal.waiting_' || g.shard))
        from generate_series(v_first_shard, v_last_shard) g(shard));
    v_running constant bigint := (
        select sum(pg_relation_size('scheduler_internal.running_' || g.shard))
        from generate_series(v_first_shard, v_last_shard) g(shard));
    v_short_waiting_from constant integer := case
        when 'waiting' = any (stages) and v_waiting <= v_short then v_first_shard end;
    v_waiting_from constant integer := case
        when 'waiting' = any (stages) and v_waiting > v_short then v_first_shard end;
    v_short_running_from constant integer := case
        when 'running' = any (stages) and v_running <= v_short then v_first_shard end;
    v_running_from constant integer := case
        when 'running' = any (stages) and v_running > v_short then v_first_shard end;
    v_history_from constant uuid := case when 'history' = any (stages) then from_id end;
    v_its_from constant uuid := case when job_id is not null then v_history_from end;
    v_rare_from constant uuid := case
        when job_id is null and status in ('failed', 'cancelled', 'expired')
        then v_history_from end;
    v_all_from constant uuid := case
        when v_its_from is null and v_rare_from is null then v_history_from end;
begin
    select array_agg(f.execution_id),
           greatest((array_agg(f.execution_id))[max_rows + 1],
                    (array_agg(f.execution_id) filter (where f.number > v_most))[1])
    into execution_ids, next_id
    from (
        select k.execution_id, k.number
        from (
            (select row_number() over (order by w.execution_id desc) as number, w.execution_id,
                    w.shard, null::integer as end_attempt, w.job_id, w.job_version, w.queue,
                    w.job_type,
                    case when w.run_at <= v_now then 'ready' else 'scheduled' end as status,
                    null::jsonb as error
             from scheduler_internal.waiting w
             where w.execution_id between from_id and upto_id
               and w.shard between v_waiting_from and v_last_shard
             order by w.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by r.execution_id desc), r.execution_id, r.shard, null,
                    r.job_id, r.job_version, r.queue, r.job_type, 'running', null
             from scheduler_internal.running r
             where r.execution_id between from_id and upto_id
               and r.shard between v_running_from and v_last_shard
             order by r.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by a.execution_id desc), a.execution_id, a.shard, null,
                    a.job_id, a.job_version, a.queue, a.job_type, a.status, null
             from scheduler_internal.scan_alive(
                      v_short_waiting_from, v_short_running_from, v_last_shard, from_id, upto_id,
                      v_now) a
             order by a.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by h.execution_id desc), h.execution_id, h.shard,
                    case when h.final then h.attempt else 0 end, h.job_id, h.job_version, h.queue,
                    h.job_type, h.status, h.error
             from scheduler_internal.history h
             where h.execution_id between v_all_from and upto_id
             order by h.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by h.execution_id desc), h.execution_id, h.shard,
                    h.attempt, h.job_id, h.job_version, h.queue, h.job_type, h.status, h.error
             from scheduler_internal.history h
             where h.execution_id between v_rare_from and upto_id
               and h.status = find_executions.status and h.status <> 'succeeded' and h.final
             order by h.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by h.execution_id desc), h.execution_id, h.shard,
                    h.attempt, h.job_id, h.job_version, h.queue, h.job_type, h.status, h.error
             from scheduler_internal.history h
             where h.execution_id between v_its_from and upto_id
               and h.job_id = find_executions.job_id and h.final
             order by h.execution_id desc limit v_most + 1)
        ) k
        where k.number > v_most
           or k.end_attempt is distinct from 0
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
        limit max_rows + 1
    ) f;
    -- Its own rows may lie on both sides of the end: it belongs to the next page, as what follows.
    execution_ids := array(
        select i from unnest(execution_ids) i where next_id is null or i > next_id);
end;
$$;

comment on function scheduler_internal.find_executions(
    text[], text, uuid, text, text, text, text, uuid, uuid, integer) is
    'The ids of a page of list_executions(), and where the next one begins';
