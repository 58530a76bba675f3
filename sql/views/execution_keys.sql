-- Without a condition in its arms, as in the view executions: the planner merges their indexes.
create or replace view scheduler_internal.execution_keys as
select w.execution_id, 'waiting' as stage, w.shard, w.attempt, true as final, w.job_id,
       w.job_version, w.queue, w.job_type, null::text as status, null::jsonb as error,
       w.run_at
from scheduler_internal.waiting w
union all
select r.execution_id, 'running', r.shard, r.attempt, true, r.job_id, r.job_version, r.queue,
       r.job_type, 'running', null, r.run_at
from scheduler_internal.running r
union all
select h.execution_id, 'history', h.shard, h.attempt, h.final, h.job_id, h.job_version, h.queue,
       h.job_type, h.status, h.error, h.run_at
from scheduler_internal.history h;

comment on view scheduler_internal.execution_keys is
    'What list_executions() looks for, in all three tables. status null: ready or scheduled, as '
    'run_at says. An end is a row that is final and not in retried';
