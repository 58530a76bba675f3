-- The three arms are plain scans without a condition, everything else comes on top of their union:
-- only so does the planner merge their indexes, and "the newest 50" do not read the history (4 ms;
-- with "where h.final" in the arm 240 ms at 100,000 rows of it). A view calls functions
-- with the rights of its reader, who has none here: so max_attempts is policy_of() written out.
-- The clock is asked once, by a subquery: for each of 200,000 that wait, whatever status was asked
-- for, it took 0.35 s.
create or replace view scheduler.executions as
select x.execution_id, x.job_id, v.name as job_name, x.job_type, x.queue, - x.rank as priority,
       x.status, x.attempt,
       coalesce((x.policy).max_attempts, (v.definition).max_attempts, 3) as max_attempts,
       x.fire_at, nullif(x.run_at, 'infinity') as run_at, x.started_at, x.finished_at, x.worker_id,
       coalesce(x.target, (v.definition).target) as target,
       coalesce(x.payload, (v.definition).payload) as payload, x.result, x.error, x.progress,
       case x.origin when 'f' then 'fire' when 't' then 'trigger' when 'b' then 'backfill'
                     else 'enqueue' end as origin,
       x.dedup_key, x.traceparent, x.created_at, x.shard
from (
    select w.execution_id, w.shard, w.job_id, w.job_version, w.job_type, w.queue, w.rank, w.policy,
           case when w.run_at <= (select scheduler.now()) then 'ready' else 'scheduled' end
               as status,
           w.attempt, null::integer as ended_attempt, w.fire_at, w.run_at,
           null::timestamptz as started_at, null::timestamptz as finished_at,
           null::uuid as worker_id,
           w.target, w.payload, null::jsonb as result, null::jsonb as error,
           null::jsonb as progress, w.origin, w.dedup_key, w.traceparent, w.created_at,
           true as final
    from scheduler_internal.waiting w
    union all
    select r.execution_id, r.shard, r.job_id, r.job_version, r.job_type, r.queue, r.rank, r.policy,
           'running', r.attempt, null::integer, r.fire_at, r.run_at, r.started_at,
           null::timestamptz, r.worker_id, r.target, r.payload, null::jsonb, null::jsonb,
           r.progress, r.origin, r.dedup_key, r.traceparent, r.created_at, true
    from scheduler_internal.running r
    union all
    select h.execution_id, h.shard, h.job_id, h.job_version, h.job_type, h.queue, h.rank, h.policy,
           h.status, case when h.started_at is null then h.attempt - 1 else h.attempt end,
           h.attempt, h.fire_at, h.run_at, h.started_at, h.finished_at, h.worker_id, h.target,
           h.payload, h.result, h.error, h.progress, h.origin, h.dedup_key, h.traceparent,
           h.created_at, h.final
    from scheduler_internal.history h
) x
left join scheduler_internal.job_versions v
  on v.shard = x.shard and v.job_id = x.job_id and v.version = x.job_version
where x.final and not exists (
    select from scheduler_internal.retried t
    where t.execution_id = x.execution_id and t.attempt = x.ended_attempt);

comment on view scheduler.executions is
    'Every execution once, as it stands: scheduled, ready, running, or ended (succeeded, failed, '
    'cancelled, expired). run_at null: held until an earlier fire of its job ends. By id: '
    'scheduler.get_execution()';
