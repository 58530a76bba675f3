-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.save_job(
    text, scheduler_internal.job_definition, boolean);

create or replace function scheduler_internal.save_job(
    name text,
    definition scheduler_internal.job_definition,
    replace_existing boolean,
    expected_version integer default null
)
returns uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Creates the job of this name, or gives the existing one this definition.
-- Locks: job_names row (by its unique key, for a new name), then as
-- change_job().
-- Writes: job_names, jobs, job_versions, schedules, audit_log; nothing when nothing changed.
-- Raises: 22023 for a wrong definition; 23505 when the name exists and replace_existing is false;
-- JB004 when it is not at the expected version.
declare
    v_definition scheduler_internal.job_definition;
    v_job_id uuid;
    v_taken uuid;
    v_now timestamptz;
begin
    perform scheduler_internal.check_job_name(name);
    v_definition := scheduler_internal.check_definition(definition);
    v_job_id := scheduler_internal.new_id(
        scheduler.get_shard_id(gen_random_uuid()), scheduler.now());

    -- Two creators of one name meet at the unique key: the second waits, then finds the first's
    -- job.
    loop
        insert into scheduler_internal.job_names as n (name, job_id)
        values (save_job.name, v_job_id)
        on conflict do nothing;
        exit when found;
        select n.job_id into v_taken from scheduler_internal.job_names n
        where n.name = save_job.name;
        continue when not found;  -- deleted between the two statements
        if not replace_existing then
            perform scheduler_internal.refuse(
                format('job %L already exists', name), format('Its id is %s.', v_taken),
                'Use scheduler.put_job to create or update, or choose another name.', '23505',
                'name');
        end if;
        begin
            perform scheduler_internal.change_job(v_taken, v_definition, expected_version);
            return v_taken;
        exception when no_data_found then
            -- Deleted while we waited for its lock: the name is free now.
            if exists (select from scheduler_internal.job_names n where n.job_id = v_taken) then
                raise;
            end if;
        end;
    end loop;

    -- Not before: who had the name may have kept us waiting, and what was due then is not ours.
    v_now := scheduler.now();
    perform scheduler_internal.check_version(0, expected_version);
    insert into scheduler_internal.jobs
        (shard, job_id, name, version, created_at, created_by, updated_at)
    values (scheduler.get_shard_id(v_job_id), v_job_id, name, 1, v_now, session_user, v_now);
    perform scheduler_internal.write_version(v_job_id, 1, name, v_definition, v_now);
    perform scheduler_internal.audit('create_job', v_job_id, name, to_jsonb(v_definition));
    return v_job_id;
end;
$$;

comment on function scheduler_internal.save_job(
    text, scheduler_internal.job_definition, boolean, integer) is
    'What create_job and put_job have in common';
