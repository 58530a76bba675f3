create or replace view scheduler.jobs as
select j.job_id, j.name, (v.definition).job_type, (v.definition).schedule, (v.definition).timezone,
       s.next_fire_at, s.last_fire_at, j.paused_at is not null as paused, j.paused_at,
       j.pause_reason, s.broken_reason, (v.definition).target, (v.definition).payload,
       (v.definition).queue, (v.definition).priority, (v.definition).max_attempts,
       (v.definition).backoff, (v.definition).backoff_base, (v.definition).backoff_max,
       (v.definition).timeout, (v.definition).expires_after, (v.definition).misfire,
       (v.definition).misfire_window, (v.definition).misfire_cap, (v.definition).overlap,
       (v.definition).dst, (v.definition).jitter, (v.definition).starts_at,
       (v.definition).ends_at, (v.definition).tags, j.version, j.created_at, j.created_by,
       j.updated_at, j.shard
from scheduler_internal.jobs j
join scheduler_internal.job_versions v
  on v.shard = j.shard and v.job_id = j.job_id and v.version = j.version
left join scheduler_internal.schedules s on s.shard = j.shard and s.job_id = j.job_id;

comment on view scheduler.jobs is
    'The jobs, with their definitions and their firing state. broken_reason: its schedule was set '
    'aside, see health()';
