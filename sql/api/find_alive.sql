create or replace function scheduler_internal.find_alive(
    stages text[],
    status text,
    job_id uuid,
    queue text,
    job_type text,
    tag text,
    from_id uuid,
    upto_id uuid,
    is_narrow boolean,
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
-- The part of find_executions() that waits or runs; those of a job are found among all of its
-- shard. As in find_ended() no more than 20,000 rows of each are looked at.
--
-- By the indexes where the ids are narrow, as between the ends of one page: few can have ended
-- among them. Else, where the tables are short, by scan_alive(): past the entries of all that has
-- ended since the last vacuum.
declare
    v_now constant timestamptz := scheduler.now();
    v_most constant integer := 20000;
    v_first_shard constant integer := coalesce(scheduler.get_shard_id(job_id), 0);
    v_last_shard constant integer := coalesce(scheduler.get_shard_id(job_id), 15);
    v_short constant integer := 4000000;  -- bytes
    v_enough constant integer := case  -- to choose from, if there is anything to choose by
        when coalesce(status, job_id::text, queue, job_type, tag) is null then max_rows + 1 end;
    v_waiting_from integer := case when 'waiting' = any (stages) then v_first_shard end;
    v_running_from integer := case when 'running' = any (stages) then v_first_shard end;
    v_short_waiting_from integer;
    v_short_running_from integer;
begin
    if not is_narrow and v_short >= (
        select sum(pg_relation_size('scheduler_internal.waiting_' || g.shard))
        from generate_series(v_waiting_from, v_last_shard) g(shard)) then
        v_short_waiting_from := v_waiting_from;
        v_waiting_from := null;
    end if;
    if not is_narrow and v_short >= (
        select sum(pg_relation_size('scheduler_internal.running_' || g.shard))
        from generate_series(v_running_from, v_last_shard) g(shard)) then
        v_short_running_from := v_running_from;
        v_running_from := null;
    end if;
    select array_agg(f.execution_id),
           greatest((array_agg(f.execution_id))[max_rows + 1],
                    (array_agg(f.execution_id) filter (where f.number > v_most))[1])
    into execution_ids, next_id
    from (
        select k.execution_id, k.number
        from (
            (select row_number() over (order by w.execution_id desc) as number, w.execution_id,
                    w.shard, w.job_id, w.job_version, w.queue, w.job_type,
                    case when w.run_at <= v_now then 'ready' else 'scheduled' end as status
             from scheduler_internal.waiting w
             where w.execution_id between from_id and upto_id
               and w.shard between v_waiting_from and v_last_shard
             order by w.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by r.execution_id desc), r.execution_id, r.shard,
                    r.job_id, r.job_version, r.queue, r.job_type, 'running'
             from scheduler_internal.running r
             where r.execution_id between from_id and upto_id
               and r.shard between v_running_from and v_last_shard
             order by r.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by a.execution_id desc), a.*
             from scheduler_internal.scan_alive(
                      v_short_waiting_from, v_short_running_from, v_last_shard, from_id, upto_id,
                      v_enough, v_now) a
             order by a.execution_id desc limit v_most + 1)
        ) k
        where k.number > v_most
           or (find_alive.job_id is null or k.job_id = find_alive.job_id)
              and (find_alive.status is null or k.status = find_alive.status)
              and (find_alive.queue is null or k.queue = find_alive.queue)
              and (find_alive.job_type is null or k.job_type = find_alive.job_type)
              and (tag is null or exists (
                    select from scheduler_internal.job_versions v
                    where v.shard = k.shard and v.job_id = k.job_id and v.version = k.job_version
                      and (v.definition).tags @> array[tag]))
        order by k.execution_id desc
        limit max_rows + 1
    ) f;
end;
$$;

comment on function scheduler_internal.find_alive(
    text[], text, uuid, text, text, text, uuid, uuid, boolean, integer) is
    'The ids of what waits or runs on a page of list_executions(), newest first, and where the '
    'next one begins';
