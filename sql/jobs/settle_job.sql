-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.settle_job(scheduler_internal.jobs, timestamptz);

create or replace function scheduler_internal.settle_job(
    job scheduler_internal.jobs,
    at timestamptz,
    job_ends boolean default false
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- Gives every due instant of a job its verdict, before something about the job changes: those of a
-- pause are skipped_paused, for the others its policies decide. Those of a broken schedule cannot
-- be told and stay undecided; one that shows only here to be broken is set aside, as by a tick.
-- What was made ahead of its instant is taken back.
--
-- At most 10,000 fire in the transaction of a client; a longer backlog is the tickers', who take
-- 1,000 at a time. Who deletes a job need not wait for them: the rest is skipped_misfire. Planned
-- anew for each fire, as a client's session would, they take twice as long: 5 s.
--
-- In UTC: a day of misfire_window or expires_after must not depend on who changes the job.
-- Locks: the job must be locked by the caller. Writes: schedules, waiting, skipped_fires.
-- Raises: 54000 where more than 10,000 would fire, and the job does not end.
declare
    s scheduler_internal.schedules;
    v_next timestamptz;
begin
    if job.paused_at is null then
        perform scheduler_internal.take_back_fires(job.shard, job.job_id, at);
        perform scheduler_internal.wake_workers(job.shard, f.fired > 0)
        from scheduler_internal.fire_schedule(job.shard, job.job_id, at, 10000, 1) f;
    end if;
    select x.* into s from scheduler_internal.schedules x
    where x.shard = job.shard and x.job_id = job.job_id;
    if s.next_fire_at <= at and job_ends then
        perform scheduler_internal.skip_fires(s, s.next_fire_at, null, 'skipped_misfire', at, 1);
    elsif s.next_fire_at <= at then
        perform scheduler_internal.refuse(
            format('more than 10,000 fires of job %L are due', job.name),
            'They run before the job changes, too many for one transaction.',
            'Let the tickers catch up, or call scheduler.pause_job first: it skips them.', '54000');
    elsif job.paused_at is not null and s.set_aside_at <= at and s.broken_reason is null then
        perform scheduler_internal.skip_fires(s, s.set_aside_at, null, 'skipped_paused', at, 1);
        v_next := scheduler_internal.next_instant(s.spec, s.timezone, at);
        update scheduler_internal.schedules x
        set set_aside_at = case when v_next <= coalesce(s.ends_at, v_next) then v_next end
        where x.shard = job.shard and x.job_id = job.job_id;
    end if;
exception
    when data_exception or integrity_constraint_violation or case_not_found then
        perform scheduler_internal.set_aside(job.shard, job.job_id, sqlerrm);
end;
$$;

comment on function scheduler_internal.settle_job(
    scheduler_internal.jobs, timestamptz, boolean) is
    'Gives every due instant of a job its verdict, paused or not';
