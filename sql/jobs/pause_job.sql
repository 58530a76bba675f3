create or replace function scheduler.pause_job(job_id uuid, reason text default null)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Stops a job from firing, at once: what is due and no tick has come to is not fired first, so that
-- who pauses in a backlog does not get the backlog. Its instants get the verdict skipped_paused;
-- trigger_job() still works. Paused again, it keeps its first reason.
-- Locks: the job row, then the schedule row. Writes: jobs, schedules, waiting, audit_log.
-- Raises: P0002 for an unknown job.
declare
    v_job scheduler_internal.jobs;
    v_now timestamptz;
begin
    v_job := scheduler_internal.lock_job(job_id);
    v_now := scheduler.now();  -- not before: a tick may have fired while we waited
    if v_job.paused_at is not null then
        return;
    end if;
    perform scheduler_internal.take_back_fires(v_job.shard, v_job.job_id, v_now);
    update scheduler_internal.jobs j
    set paused_at = v_now, pause_reason = reason, updated_at = v_now
    where j.shard = v_job.shard and j.job_id = v_job.job_id;
    update scheduler_internal.schedules s
    set next_fire_at = null, set_aside_at = coalesce(s.next_fire_at, s.set_aside_at)
    where s.shard = v_job.shard and s.job_id = v_job.job_id;
    perform scheduler_internal.audit('pause_job', v_job.job_id, v_job.name,
        jsonb_build_object('reason', reason));
end;
$$;

comment on function scheduler.pause_job(uuid, text) is
    'Stops a job from firing until resume_job(). What it would have fired is in the ledger as '
    'skipped_paused';
