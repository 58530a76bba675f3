create or replace view scheduler.stats as
select r.minute, r.queue, r.job_type, sum(r.succeeded)::bigint as succeeded,
       sum(r.failed)::bigint as failed, sum(r.cancelled)::bigint as cancelled,
       sum(r.expired)::bigint as expired, sum(r.retried)::bigint as retried,
       sum(r.wait_seconds) as wait_seconds, sum(r.run_seconds) as run_seconds,
       max(r.max_wait_seconds) as max_wait_seconds, max(r.max_run_seconds) as max_run_seconds
from scheduler_internal.rollups r
group by r.minute, r.queue, r.job_type;

comment on view scheduler.stats is
    'Ended attempts per minute, queue and job type, with the sums and maxima of their waits and '
    'runs in seconds. Kept as they end: it costs the same at any size of the history';
