create or replace function scheduler.resume_job(job_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Lets a paused job fire again, or one that was set aside as broken try again, from its next
-- instant on. The instants of a pause become one row of the ledger, whatever its length; those of a
-- broken schedule are due, and its misfire policy decides.
-- Locks: the job row, then the schedule row. Writes: jobs, schedules, skipped_fires, audit_log.
-- Raises: P0002 for an unknown job; 22023 when the schedule is still broken.
declare
    v_job scheduler_internal.jobs;
    v_schedule scheduler_internal.schedules;
    v_now timestamptz;
begin
    v_job := scheduler_internal.lock_job(job_id);
    v_now := scheduler.now();  -- not before: a tick may have fired while we waited
    select s.* into v_schedule from scheduler_internal.schedules s
    where s.shard = v_job.shard and s.job_id = v_job.job_id;
    if v_job.paused_at is null and v_schedule.broken_reason is null then
        return;
    end if;
    if v_schedule.timezone is not null then
        perform scheduler_internal.check_time_zone(v_schedule.timezone);
    end if;
    if v_schedule.broken_reason is not null then
        update scheduler_internal.schedules s
        set broken_reason = null
        where s.shard = v_job.shard and s.job_id = v_job.job_id;
    end if;
    perform scheduler_internal.settle_job(v_job, v_now);
    update scheduler_internal.schedules s
    set next_fire_at = s.set_aside_at, set_aside_at = null
    where s.shard = v_job.shard and s.job_id = v_job.job_id
    returning s.* into v_schedule;
    if v_schedule.broken_reason is not null then
        perform scheduler_internal.refuse(
            format('the schedule of job %L is broken', v_job.name),
            v_schedule.broken_reason || '.', 'Correct it with scheduler.update_job.');
    end if;
    update scheduler_internal.jobs j
    set paused_at = null, pause_reason = null, updated_at = v_now
    where j.shard = v_job.shard and j.job_id = v_job.job_id;
    perform scheduler_internal.audit('resume_job', v_job.job_id, v_job.name);
end;
$$;

comment on function scheduler.resume_job(uuid) is
    'Lets a paused job fire again from its next instant on, or has a broken one tried again';
