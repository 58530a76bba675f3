create or replace function scheduler_internal.settle_job(
    job scheduler_internal.jobs,
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Gives every due instant of a job its verdict, before something about the job changes: those of a
-- pause are skipped_paused, for the others its policies decide. Those of a broken schedule cannot
-- be told and stay undecided.
-- Locks: the job must be locked by the caller. Writes: schedules, waiting, skipped_fires.
declare
    s scheduler_internal.schedules;
    v_next timestamptz;
begin
    select x.* into s from scheduler_internal.schedules x
    where x.shard = job.shard and x.job_id = job.job_id;
    if job.paused_at is null then
        perform scheduler_internal.fire_schedule(job.shard, job.job_id, at);
    elsif s.set_aside_at <= at and s.broken_reason is null then
        perform scheduler_internal.skip_fires(s, s.set_aside_at, null, 'skipped_paused', at);
        v_next := scheduler_internal.next_instant(s.spec, s.timezone, at);
        update scheduler_internal.schedules x
        set set_aside_at = case when v_next <= coalesce(s.ends_at, v_next) then v_next end
        where x.shard = job.shard and x.job_id = job.job_id;
    end if;
end;
$$;

comment on function scheduler_internal.settle_job(scheduler_internal.jobs, timestamptz) is
    'Gives every due instant of a job its verdict, paused or not';
