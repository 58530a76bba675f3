-- squawk-ignore ban-drop-function
drop function if exists scheduler.update_job(uuid, jsonb);

create or replace function scheduler.update_job(
    job_id uuid,
    changes jsonb,
    expected_version integer default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Changes the named attributes of a job, and only those.
-- Locks, Writes: as change_job().
-- Raises: P0002 for an unknown job; 22023 for an unknown attribute or a wrong value; JB004 where
-- the job is not at the expected version.
declare
    v_job scheduler_internal.jobs;
    v_old scheduler_internal.job_definition;
    v_new scheduler_internal.job_definition;
    v_key text;
begin
    if jsonb_typeof(changes) is distinct from 'object' then
        perform scheduler_internal.refuse(
            'changes must be an object', 'Attribute names to new values.',
            'Write ''{"schedule": "@daily"}''.', argument => 'changes');
    end if;
    v_job := scheduler_internal.lock_job(job_id);
    perform scheduler_internal.check_version(v_job.version, expected_version);
    select (v.definition).* into v_old from scheduler_internal.job_versions v
    where v.shard = v_job.shard and v.job_id = v_job.job_id and v.version = v_job.version;
    select k into v_key from jsonb_object_keys(changes) k where not to_jsonb(v_old) ? k limit 1;
    if found then
        perform scheduler_internal.refuse(
            format('a job has no attribute %L', v_key),
            'It has '
                || (select string_agg(k, ', ') from jsonb_object_keys(to_jsonb(v_old)) k) || '.',
            'Correct or remove the key. A name does not change: create a job of the new name.',
            argument => v_key);
    end if;
    v_new := v_old;
    for v_key in select k from jsonb_object_keys(changes) k loop
        begin
            v_new := jsonb_populate_record(v_new, jsonb_build_object(v_key, changes -> v_key));
        exception when data_exception then
            perform scheduler_internal.refuse('a value does not fit its attribute', sqlerrm || '.',
                'Write times and lengths as text: {"timeout": "5 minutes"}.', argument => v_key);
        end;
    end loop;
    perform scheduler_internal.change_job(job_id, scheduler_internal.check_definition(v_new));
end;
$$;

comment on function scheduler.update_job(uuid, jsonb, integer) is
    'Changes the named attributes of a job: update_job(id, ''{"schedule": "@daily", "timeout": "5 '
    'minutes"}''). An unchanged schedule keeps its next fire. With an expected_version only if it '
    'is at it';
