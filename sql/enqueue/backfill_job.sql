create or replace function scheduler.backfill_job(
    job_id uuid,
    from_time timestamptz,
    to_time timestamptz
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Makes executions of the job's past instants in [from_time, to_time] that have none: skipped, or
-- from before the job. They run now, oldest first, whatever the overlap policy. Called again it
-- makes nothing new.
-- Locks: the job row, then the schedule row. Writes: waiting, audit_log.
-- Raises: P0002 for an unknown job; 22023 for a range that is empty, not past, or beyond what the
-- ledger remembers, or a time zone that has vanished; 55000 for a job without a schedule; 54000 for
-- more than 10,000 instants, or as many fires that are due.
declare
    v_job scheduler_internal.jobs;
    v_schedule scheduler_internal.schedules;
    v_now timestamptz;
    v_horizon timestamptz;
    v_fire_ats timestamptz[];
    v_count bigint;
begin
    perform scheduler_internal.check_traceparent(scheduler_internal.setting('traceparent', null));
    v_job := scheduler_internal.lock_job(job_id);
    v_now := scheduler.now();
    select s.* into v_schedule from scheduler_internal.schedules s
    where s.shard = v_job.shard and s.job_id = v_job.job_id;
    if not found then
        perform scheduler_internal.refuse(format('job %L has no schedule', v_job.name),
            'A backfill follows the schedule.', 'Use scheduler.trigger_job.', '55000');
    end if;
    perform scheduler_internal.check_time_zone(v_schedule.timezone);
    if from_time is null or to_time is null or not isfinite(from_time) or from_time > to_time
       or to_time > v_now then
        perform scheduler_internal.refuse('not a past range of time',
            format('It is %s to %s; now is %s.', from_time, to_time, v_now),
            'Give from_time <= to_time <= now.', argument => 'from_time');
    end if;
    -- What was dropped from the history could be run twice; what is older than the job could not.
    v_horizon := greatest(
        v_now - coalesce(
            scheduler_internal.retention('history_retention', '30 days'), interval '30 days'),
        (select m.at from scheduler_internal.marks m where m.name = 'forgotten'));
    if from_time < v_horizon and v_job.created_at < v_horizon then
        perform scheduler_internal.refuse('the range begins before the history does',
            format('History is kept from %s on: what ran before is not known any more.', v_horizon),
            'Begin later, or use scheduler.trigger_job for each run.',
            argument => 'from_time');
    end if;
    v_fire_ats := array(select i from scheduler_internal.instants(
        v_schedule.spec, v_schedule.timezone, greatest(from_time, v_schedule.starts_at),
        least(to_time, v_schedule.ends_at), 10001) i);
    if cardinality(v_fire_ats) > 10000 then
        perform scheduler_internal.refuse('the range has more than 10,000 instants',
            format('The 10,001st is %s.', v_fire_ats[10001]), 'Backfill a shorter range at a time.',
            '54000', 'from_time');
    end if;
    -- What is due and undecided belongs to the tick.
    perform scheduler_internal.settle_job(v_job, v_now);
    -- What was due before it broke is decided when it is resumed: here it would run twice.
    if exists (select from scheduler_internal.schedules s
               where s.shard = v_job.shard and s.job_id = v_job.job_id
                 and s.broken_reason is not null) then
        perform scheduler_internal.refuse(
            format('the schedule of job %L is set aside', v_job.name),
            'A tick found it broken; what was due since is not decided yet.',
            'Mend it with scheduler.update_job or scheduler.resume_job first.', '55000');
    end if;

    v_fire_ats := array(
        select i from unnest(v_fire_ats) i
        except
        select f.fire_at from scheduler_internal.find_fires(v_job.shard, v_job.job_id, from_time) f
        order by 1);
    v_count := scheduler_internal.insert_fires(v_job.shard, 'b',
        array_fill(v_job.job_id, array[cardinality(v_fire_ats)]), v_fire_ats, v_fire_ats, v_now,
        held => false);
    perform scheduler_internal.audit('backfill_job', job_id, v_job.name, jsonb_build_object(
        'from_time', from_time, 'to_time', to_time, 'executions', v_count));
    perform scheduler_internal.wake_workers(v_job.shard, v_count > 0);
    return v_count;
end;
$$;

comment on function scheduler.backfill_job(uuid, timestamptz, timestamptz) is
    'Runs the past instants of a job that have no execution. Returns how many; at most 10,000 a '
    'call';
