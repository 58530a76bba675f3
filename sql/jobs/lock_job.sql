create or replace function scheduler_internal.lock_job(job_id uuid)
returns scheduler_internal.jobs
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Returns the job, locked against ticks and other changes.
-- Locks: the job row first, because a change writes the schedule row anew: who waited for the old
-- one would find it gone, and go on with the new one unlocked. Then the schedule row, the only one
-- that ticks and finish() take.
-- Raises: P0002 for an unknown job.
declare
    v_shard constant integer := scheduler.get_shard_id(job_id);
    v_job scheduler_internal.jobs;
begin
    select j.* into v_job from scheduler_internal.jobs j
    where j.shard = v_shard and j.job_id = lock_job.job_id
    for update;
    if not found then
        perform scheduler_internal.refuse_unknown('job', job_id);
    end if;
    perform from scheduler_internal.schedules s
    where s.shard = v_shard and s.job_id = lock_job.job_id
    for update;
    return v_job;
end;
$$;

comment on function scheduler_internal.lock_job(uuid) is
    'A job, locked against ticks and other changes';
