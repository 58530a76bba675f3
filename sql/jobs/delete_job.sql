-- squawk-ignore ban-drop-function
drop function if exists scheduler.delete_job(uuid);

create or replace function scheduler.delete_job(
    job_id uuid,
    expected_version integer default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Ends a job: no further fires. What is due already still gets its verdict (of more than 10,000
-- that would fire, the newest are skipped_misfire); executions that wait or run go on, and the
-- history stays until its retention ends.
-- Locks: the job row, then the schedule row. Writes: schedules, waiting, jobs, job_names,
-- job_versions, audit_log.
-- Raises: P0002 for an unknown job; JB004 where it is not at the expected version.
declare
    v_job scheduler_internal.jobs;
    v_now timestamptz;
begin
    v_job := scheduler_internal.lock_job(job_id);
    v_now := scheduler.now();  -- not before: a tick may have fired while we waited
    perform scheduler_internal.check_version(v_job.version, expected_version);
    perform scheduler_internal.settle_job(v_job, v_now, job_ends => true);
    perform scheduler_internal.supersede_version(v_job, v_now);
    delete from scheduler_internal.schedules s
    where s.shard = v_job.shard and s.job_id = v_job.job_id;
    delete from scheduler_internal.jobs j where j.shard = v_job.shard and j.job_id = v_job.job_id;
    delete from scheduler_internal.job_names n where n.name = v_job.name;
    perform scheduler_internal.audit('delete_job', v_job.job_id, v_job.name);
end;
$$;

comment on function scheduler.delete_job(uuid, integer) is
    'Ends a job. Its waiting and running executions go on; cancel them with cancel_execution()';
