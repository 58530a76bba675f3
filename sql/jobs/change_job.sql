-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.change_job(
    uuid, scheduler_internal.job_definition);

create or replace function scheduler_internal.change_job(
    job_id uuid,
    definition scheduler_internal.job_definition,
    expected_version integer default null
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Gives a job a new version, after the instants that were due under the old one have had their
-- verdicts.
-- Locks: the job row, then the schedule row. Writes: jobs, job_versions, schedules, waiting,
-- audit_log.
-- Raises: P0002 for an unknown job; 22023 for a wrong schedule; 42501 where the API key at hand may
-- not change such a job; JB004 where the job is not at the expected version; 54000 where more than
-- 10,000 fires are due.
declare
    v_job scheduler_internal.jobs;
    v_old scheduler_internal.job_definition;
    v_now timestamptz;
begin
    -- A file of a thousand jobs is applied in one transaction, mostly to change a few: what stays
    -- as it is must not be locked, and kept from firing, until that commits.
    select (v.definition).* into v_old
    from scheduler_internal.jobs j
    join scheduler_internal.job_versions v
      on v.shard = j.shard and v.job_id = j.job_id and v.version = j.version
    where j.shard = scheduler.get_shard_id(change_job.job_id) and j.job_id = change_job.job_id
      and j.version = coalesce(expected_version, j.version);
    -- As text, because 1 month equals 30 days, and a year 360.
    if v_old::text = definition::text then
        return;
    end if;
    v_job := scheduler_internal.lock_job(job_id);
    perform scheduler_internal.check_version(v_job.version, expected_version);
    v_now := scheduler.now();  -- not before: a tick may have fired while we waited
    select (v.definition).* into v_old from scheduler_internal.job_versions v
    where v.shard = v_job.shard and v.job_id = v_job.job_id and v.version = v_job.version;
    if v_old::text = definition::text then
        return;
    end if;
    perform scheduler_internal.check_scopes(v_old.job_type);  -- the new one's is check_target's
    perform scheduler_internal.settle_job(v_job, v_now);
    perform scheduler_internal.supersede_version(v_job, v_now);
    update scheduler_internal.jobs j
    set version = v_job.version + 1, updated_at = v_now
    where j.shard = v_job.shard and j.job_id = v_job.job_id;
    perform scheduler_internal.write_version(
        v_job.job_id, v_job.version + 1, v_job.name, definition, v_now);
    if definition.overlap = 'allow' then
        -- What is held would wait for a moment without any fire, which may never come now.
        update scheduler_internal.waiting w
        set run_at = v_now
        where w.shard = v_job.shard and w.job_id = v_job.job_id and w.run_at = 'infinity';
    end if;
    perform scheduler_internal.audit('update_job', v_job.job_id, v_job.name,
        (select jsonb_object_agg(n.key, jsonb_build_array(o.value, n.value))
         from jsonb_each(to_jsonb(definition)) n
         join jsonb_each(to_jsonb(v_old)) o using (key)
         where n.value <> o.value));
end;
$$;

comment on function scheduler_internal.change_job(
    uuid, scheduler_internal.job_definition, integer) is
    'Gives a job a new version; the same definition again changes nothing';
