create or replace function scheduler_internal.check_workers(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with worker as (
        select count(*) filter (where w.last_beat_at + w.lease > at) as alive,
               count(*) filter (where w.last_beat_at + w.lease <= at
                                  and w.last_beat_at > at - interval '10 minutes') as silent
        from scheduler_internal.workers w
        where w.stopped_at is null
    )
    select 'workers',
           case when w.alive = 0 then 'fail' when w.silent > 0 then 'warn' else 'ok' end,
           format('%s alive, %s fell silent in the last 10 minutes', w.alive, w.silent),
           case when w.alive = 0 then 'Start a worker: pgtick worker.'
                else 'See why they died: scheduler.workers names their nodes.' end
    from worker w
$$;

comment on function scheduler_internal.check_workers(timestamptz) is 'health(): is there a worker?';
