-- Instants in a time zone that the server has lost cannot be told: they are missing here, so that
-- they fail no ledger but their own.
create or replace view scheduler.fires as
select e.job_id, e.fire_at, 'fired' as verdict, e.execution_id, e.created_at as decided_at
from scheduler.executions e
where e.fire_at is not null
union all
select s.job_id, i.fire_at, s.verdict, null, s.decided_at
from scheduler_internal.skipped_fires s
join scheduler_internal.job_versions v
  on v.shard = s.shard and v.job_id = s.job_id and v.version = s.job_version
cross join lateral scheduler_internal.instants(
    v.spec, (v.definition).timezone, s.from_fire_at, s.to_fire_at, 2147483647) i(fire_at)
where scheduler_internal.knows_time_zone((v.definition).timezone)
  and not exists (  -- a backfill made good for it
    select from scheduler.executions b
    where b.job_id = s.job_id and b.fire_at = i.fire_at and b.origin = 'backfill')
union all
select j.job_id, i.fire_at, 'skipped_paused', null, null
from scheduler_internal.jobs j
join scheduler_internal.schedules s
  on s.shard = j.shard and s.job_id = j.job_id and s.set_aside_at <= scheduler.now()
cross join lateral scheduler_internal.instants(
    s.spec, s.timezone, s.set_aside_at, least(scheduler.now(), s.ends_at), 2147483647) i(fire_at)
where j.paused_at is not null and s.broken_reason is null
  and scheduler_internal.knows_time_zone(s.timezone);

comment on view scheduler.fires is
    'The ledger: every due instant of every schedule once, with what became of it: fired, '
    'coalesced, skipped_overlap, skipped_misfire, skipped_paused or skipped_window. Ask for one '
    'job_id at a time';
