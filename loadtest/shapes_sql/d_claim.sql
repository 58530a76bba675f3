with picked as materialized (
    select w.ctid as row_id
    from waiting w
    where w.shard = 3 and w.queue = 'default' and w.rank = 0 and w.run_at <= now()
    order by w.run_at
    limit %(size)s
    for update skip locked
), taken as (
    delete from waiting w
    where w.ctid = any (array(select p.row_id from picked p))
    returning w.*
)
insert into history
    (attempt, worker_id, started_at, deadline, final, status, attempt_base, crashes, exclusive, handler,
     job_id, job_version, rank, origin, queue, job_type, dedup_key, traceparent, target,
     payload, policy, shard, execution_id, run_at, created_at, fire_at)
select attempt + 1, %(worker_id)s, now(), now() + interval '1 hour', true, 'running', attempt_base, crashes,
       exclusive, handler, job_id, job_version, rank, origin, queue, job_type, dedup_key, traceparent, target,
       payload, policy, shard, execution_id, run_at, created_at, fire_at
from taken
returning execution_id
