create or replace function scheduler_internal.count_running()
returns table (queue text, running bigint)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = on
set max_parallel_workers_per_gather = 0
set jit = off
as $$
-- Apart from its callers, who may not read tables from end to end: these are short.
begin
    return query
    select r.queue, count(*) from scheduler_internal.running r group by r.queue;
end;
$$;

comment on function scheduler_internal.count_running() is
    'How many executions run in each queue';
