create or replace view scheduler.workers as
select w.worker_id, w.node_id,
       case when w.stopped_at is not null then 'stopped'
            when w.last_beat_at + w.lease <= scheduler.now() then 'silent'
            when w.draining then 'draining'
            else 'active' end as status,
       w.queues, w.job_types, w.concurrency, coalesce(r.running, 0) as running, w.started_at,
       w.last_beat_at, w.lease, w.stopped_at
from scheduler_internal.workers w
left join (
    select r.worker_id, count(*) as running from scheduler_internal.running r group by r.worker_id
) r on r.worker_id = w.worker_id;

comment on view scheduler.workers is
    'The worker processes of the last day: active, draining, silent (its lease has run out) or '
    'stopped';
