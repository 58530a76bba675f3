with gone as (
    delete from running r
    where r.shard = 3 and r.execution_id = any (%(ids)s)
    returning r.*
)
insert into history
    (attempt, worker_id, started_at, finished_at, final, status, result,
     job_id, job_version, rank, origin, queue, job_type, dedup_key, traceparent, target,
     payload, policy, shard, execution_id, run_at, created_at, fire_at)
select attempt, worker_id, started_at, now(), true, 'succeeded', '{"done": true}',
       job_id, job_version, rank, origin, queue, job_type, dedup_key, traceparent, target,
       payload, policy, shard, execution_id, run_at, created_at, fire_at
from gone
