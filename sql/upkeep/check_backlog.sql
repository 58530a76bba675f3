create or replace function scheduler_internal.check_backlog(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    -- What is ready and of a kind that no living worker takes would wait for ever without a word.
    with ready as (
        select w.queue, w.job_type, w.handler, min(w.run_at) as oldest
        from scheduler_internal.waiting w
        where w.run_at <= at - interval '1 minute'
        group by w.queue, w.job_type, w.handler
    ), judged as (
        select r.*, not exists (
            select from scheduler_internal.workers k
            where k.stopped_at is null and k.last_beat_at + k.lease > at
              and (k.queues is null or r.queue = any (k.queues))
              and (k.job_types is null or r.job_type = any (k.job_types))) as unserved
        from ready r
    )
    select 'backlog', case when count(*) = 0 then 'ok' else 'warn' end,
           case when count(*) = 0 then 'nothing has been ready for more than a minute'
                else format('ready for up to %s: %s', justify_interval(at - min(j.oldest)),
                     left(string_agg(format('%s/%s%s%s', j.queue, j.job_type,
                                            ' ' || j.handler,
                                            case when j.unserved then ' (no worker takes it)'
                                                 else '' end),
                                     ', ' order by j.oldest), 1000)) end,
           'Start more workers (scheduler.worker_demand() says how many), for the queues, job '
           'types and handlers named.'
    from judged j
$$;

comment on function scheduler_internal.check_backlog(timestamptz) is
    'health(): has something been ready for long?';
