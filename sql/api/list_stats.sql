create or replace function scheduler.list_stats(
    from_time timestamptz default null,
    to_time timestamptz default null,
    step interval default '1 minute',
    queue text default null,
    job_type text default null
)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
set plan_cache_mode = force_custom_plan
as $$
-- Sums of the rollups by steps that begin at multiples of their length since 2000, from from_time
-- (null: an hour ago) up to to_time (null: now; not included). A step without an end is not there.
-- Raises: 22023 for a range or step that is wrong, or more than 1,500 steps.
declare
    v_to constant timestamptz := coalesce(to_time, scheduler.now());
    v_from timestamptz := coalesce(from_time, v_to - interval '1 hour');
    v_origin constant timestamptz := timestamptz '2000-01-01 00:00+00';
begin
    if step is null or step < '1 minute' or step > '31 days'
       or extract(epoch from step)::bigint % 60 <> 0 or extract(month from step) <> 0 then
        perform scheduler_internal.refuse(
            format('invalid step %L', step), 'It is whole minutes, up to 31 days.',
            'Write ''5 minutes''.', argument => 'step');
    end if;
    if not isfinite(v_from) or not isfinite(v_to) or v_from > v_to or v_from < v_origin
       or v_to - v_from > 1500 * step then
        perform scheduler_internal.refuse(
            'not a range of at most 1,500 steps',
            format('It is %s to %s, with a step of %s.', v_from, v_to, step),
            'Give from_time <= to_time, or a longer step.', argument => 'from_time');
    end if;
    v_from := date_bin(step, v_from, v_origin);
    return json_build_object('from_time', v_from, 'to_time', v_to, 'step', step, 'items', (
        select coalesce(json_agg(x order by x.at, x.queue, x.job_type), '[]')
        from (
            select date_bin(step, r.minute, v_origin) as at, r.queue, r.job_type,
                   sum(r.succeeded)::bigint as succeeded, sum(r.failed)::bigint as failed,
                   sum(r.cancelled)::bigint as cancelled, sum(r.expired)::bigint as expired,
                   sum(r.retried)::bigint as retried, sum(r.wait_seconds) as wait_seconds,
                   sum(r.run_seconds) as run_seconds,
                   max(r.max_wait_seconds) as max_wait_seconds,
                   max(r.max_run_seconds) as max_run_seconds
            from scheduler_internal.rollups r
            where r.minute >= v_from and r.minute < v_to
              and (list_stats.queue is null or r.queue = list_stats.queue)
              and (list_stats.job_type is null or r.job_type = list_stats.job_type)
            group by 1, 2, 3
        ) x));
end;
$$;

comment on function scheduler.list_stats(timestamptz, timestamptz, interval, text, text) is
    'The view stats, summed up by step, queue and job type, as JSON: {"from_time": …, "to_time": '
    '…, "step": …, "items": […]}';
