create or replace function scheduler_internal.find_ended(
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
-- The part of find_executions() that has ended. No more than 20,000 rows are looked at: what is
-- rare does not read a history of millions, but 40 ms. The row that follows them passes unmatched,
-- and there the page ends. What did not succeed has an index of its own, and so has the history of
-- a job. The planner merges the days in the order of their indexes, since it may not sort, as far
-- as the page goes. Its plan is for any values and kept by the session; a null bound leaves a part
-- out when it starts.
declare
    v_most constant integer := 20000;
    -- As it stands in JSON: without the quotes around it, but with \" for each within.
    v_in_error constant text := lower(substr(left(to_jsonb(error_contains)::text, -1), 2));
    v_its_from constant uuid := case when job_id is not null then from_id end;
    v_rare_from constant uuid := case
        when job_id is null and status in ('failed', 'cancelled', 'expired') then from_id end;
    v_all_from constant uuid := case
        when v_its_from is null and v_rare_from is null then from_id end;
begin
    select array_agg(f.execution_id),
           greatest((array_agg(f.execution_id))[max_rows + 1],
                    (array_agg(f.execution_id) filter (where f.number > v_most))[1])
    into execution_ids, next_id
    from (
        select k.execution_id, k.number
        from (
            (select row_number() over (order by h.execution_id desc) as number, h.*
             from scheduler_internal.history h
             where h.execution_id between v_all_from and upto_id
             order by h.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by h.execution_id desc), h.*
             from scheduler_internal.history h
             where h.execution_id between v_rare_from and upto_id
               and h.status = find_ended.status and h.status <> 'succeeded' and h.final
             order by h.execution_id desc limit v_most + 1)
            union all
            (select row_number() over (order by h.execution_id desc), h.*
             from scheduler_internal.history h
             where h.execution_id between v_its_from and upto_id
               and h.job_id = find_ended.job_id and h.final
             order by h.execution_id desc limit v_most + 1)
        ) k
        where k.number > v_most
           or k.final
              and (find_ended.status is null or k.status = find_ended.status)
              and (find_ended.queue is null or k.queue = find_ended.queue)
              and (find_ended.job_type is null or k.job_type = find_ended.job_type)
              and (tag is null or exists (
                    select from scheduler_internal.job_versions v
                    where v.shard = k.shard and v.job_id = k.job_id and v.version = k.job_version
                      and (v.definition).tags @> array[tag]))
              and (error_contains is null
                   or strpos(lower(k.error::text), v_in_error) > 0)
              and not exists (
                    select from scheduler_internal.retried t
                    where t.shard = k.shard and t.execution_id = k.execution_id
                      and t.attempt = k.attempt)
        order by k.execution_id desc
        limit max_rows + 1
    ) f;
end;
$$;

comment on function scheduler_internal.find_ended(
    text, uuid, text, text, text, text, uuid, uuid, integer) is
    'The ids of what has ended on a page of list_executions(), newest first, and where the next '
    'one begins';
