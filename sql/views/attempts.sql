create or replace view scheduler.attempts as
select h.execution_id, h.attempt, h.job_id, h.job_type, h.queue, h.status, h.final, h.run_at,
       h.started_at, h.finished_at, h.worker_id, h.result, h.error, h.progress, h.shard
from scheduler_internal.history h
where h.started_at is not null
union all
select r.execution_id, r.attempt, r.job_id, r.job_type, r.queue, 'running', false, r.run_at,
       r.started_at, null, r.worker_id, null, null, r.progress, r.shard
from scheduler_internal.running r;

comment on view scheduler.attempts is
    'Every attempt at every execution. final: it ended its execution. A crash of a worker is a '
    'failed attempt whose error has the type worker_lost';
