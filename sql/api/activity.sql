create or replace function scheduler.activity(since timestamptz default null)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set max_parallel_workers_per_gather = 0
set jit = off
as $$
-- What is going on, for those who look every second, whatever the size of the backlog and of the
-- history: "queues", counted up to 1,000 a queue and shard ("capped": there are more); "stats", of
-- this minute and the one before; and, where there are any, "executions" that have ended since then
-- (null: none), up to 100 of the 2,000 that were to run last, and of as many that were not to run
-- yet ("more": look for yourself). Its plans are kept by the session: planned anew a call took 5
-- ms, so it takes 1.
-- Without processes, which the planner would start for a look at two minutes of busy days.
declare
    v_now constant timestamptz := scheduler.now();
    -- An end is seen from its commit on, a moment after its time.
    v_since constant timestamptz := since - interval '2 seconds';
    -- What was cancelled long before its time must not hide all that ends until then.
    v_soon constant uuid := scheduler_internal.id_floor(v_now + interval '1 minute');
    v_queues json;
    v_stats json;
    v_ended json;
    v_count bigint;
begin
    select json_agg(x order by x.queue collate "C") into v_queues
    from (
        select coalesce(w.queue, r.queue) as queue, coalesce(w.ready, 0) as ready,
               coalesce(w.scheduled, 0) as scheduled, coalesce(r.running, 0) as running,
               coalesce(w.is_capped, false) as capped
        from scheduler_internal.count_waiting(v_now, 1000) w
        full join scheduler_internal.count_running() r on r.queue = w.queue
    ) x;
    select json_agg(x order by x.minute) into v_stats
    from (
        select s.minute, sum(s.succeeded)::bigint as succeeded, sum(s.failed)::bigint as failed,
               sum(s.cancelled)::bigint as cancelled, sum(s.expired)::bigint as expired,
               sum(s.retried)::bigint as retried
        from scheduler_internal.rollups s
        where s.minute >= date_trunc('minute', v_now) - interval '1 minute'
        group by s.minute
    ) x;
    if v_since is not null then
        select json_agg(json_build_object('execution_id', x.execution_id, 'job_id', x.job_id,
                                          'status', x.status) order by x.execution_id desc)
                   filter (where x.n <= 100),
               count(*)
        into v_ended, v_count
        from (
            select h.execution_id, h.job_id, h.status,
                   row_number() over (order by h.execution_id desc) as n
            from (
                (select h.execution_id, h.job_id, h.status, h.final, h.finished_at
                 from scheduler_internal.history h
                 where h.execution_id < v_soon
                 order by h.execution_id desc
                 limit 2000)
                union all
                (select h.execution_id, h.job_id, h.status, h.final, h.finished_at
                 from scheduler_internal.history h
                 where h.execution_id >= v_soon
                 order by h.execution_id desc
                 limit 2000)
            ) h
            where h.final and h.finished_at > v_since
        ) x;
    end if;
    if v_ended is null then
        return json_build_object('at', v_now, 'queues', coalesce(v_queues, '[]'),
                                 'stats', coalesce(v_stats, '[]'));
    end if;
    return json_build_object(
        'at', v_now, 'queues', coalesce(v_queues, '[]'), 'stats', coalesce(v_stats, '[]'),
        'executions', json_build_object('ended', v_ended, 'more', v_count > 100));
end;
$$;

comment on function scheduler.activity(timestamptz) is
    'What is going on, as JSON, bounded: {"at": …, "queues": […], "stats": […], "executions": '
    '{"ended": […], "more": …}}; executions only where some have ended since';
