create or replace function scheduler.metrics_json()
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set max_parallel_workers_per_gather = 0
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- What /metrics tells of the whole, at a cost that does not grow with what waits or has ended: the
-- totals and the rollups of the last minutes, what runs, and one index probe for each queue and
-- priority that waits. No processes, as in activity().
declare
    v_now constant timestamptz := scheduler.now();
    v_from timestamptz;
    v_executions json;
    v_queues json;
begin
    select coalesce(m.at, '-infinity') into v_from from scheduler_internal.marks m
    where m.name = 'totals';
    select json_agg(t) into v_executions
    from (
        select x.job_type, sum(x.succeeded)::bigint as succeeded, sum(x.failed)::bigint as failed,
               sum(x.cancelled)::bigint as cancelled, sum(x.expired)::bigint as expired,
               sum(x.retried)::bigint as retried
        from (
            select t.job_type, t.succeeded, t.failed, t.cancelled, t.expired, t.retried
            from scheduler_internal.execution_totals t
            union all
            select r.job_type, r.succeeded, r.failed, r.cancelled, r.expired, r.retried
            from scheduler_internal.rollups r where r.minute >= v_from
        ) x
        group by x.job_type
    ) t;
    with recursive head as (
        (select w.queue, w.rank, w.run_at, 1 as n from scheduler_internal.waiting w
         order by w.queue, w.rank, w.run_at limit 1)
        union all
        select w.queue, w.rank, w.run_at, h.n + 1
        from head h
        cross join lateral (
            select w.queue, w.rank, w.run_at from scheduler_internal.waiting w
            where (w.queue, w.rank) > (h.queue, h.rank)
            order by w.queue, w.rank, w.run_at limit 1
        ) w
        where h.n < 1000
    )
    select json_agg(q) into v_queues
    from (
        select x.queue,
               greatest(0, extract(epoch from v_now - min(x.run_at))) as oldest_ready_seconds
        from (
            select h.queue, case when h.run_at <= v_now then h.run_at end as run_at from head h
            union all  -- those where nothing waits: their 0 tells that all is well
            select r.queue, null from scheduler_internal.rollups r where r.minute >= v_from
        ) x
        group by x.queue
        order by x.queue
        limit 1000
    ) q;
    return json_build_object(
        'executions', coalesce(v_executions, '[]'),
        'active', (
            select coalesce(sum(r.running), 0)::bigint from scheduler_internal.count_running() r),
        'queues', coalesce(v_queues, '[]'));
end;
$$;

comment on function scheduler.metrics_json() is
    'What Prometheus is told of the whole: executions that ended, by job type; how many run; how '
    'long the oldest of each queue has been ready. Cheap enough for every few seconds';
