create or replace function scheduler_internal.write_version(
    job_id uuid,
    version integer,
    name text,
    definition scheduler_internal.job_definition,
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Stores a version of a job and makes it the one that fires: a schedule whose instants are
-- unchanged keeps its next fire, any other starts with its first instant after `at` (where the
-- clock was set back: after the newest that has its verdict).
-- Locks, Writes: schedules (one row), job_versions.
-- Raises: 22023 for a schedule that is wrong or never fires.
declare
    v_shard constant integer := scheduler.get_shard_id(job_id);
    v_spec scheduler_internal.schedule_spec;
    v_same_spec boolean;
    v_first timestamptz;
    v_decided timestamptz;  -- what has its verdict reaches to here
    v_old scheduler_internal.schedules;
begin
    if definition.schedule is not null then
        v_spec := scheduler_internal.compile_schedule(
            definition.schedule, timezone => definition.timezone, hash_key => name,
            dst => definition.dst);
        select s.* into v_old from scheduler_internal.schedules s
        where s.shard = v_shard and s.job_id = write_version.job_id
        for update;
        -- As text, because 1 month equals 30 days.
        v_same_spec := v_old.spec::text = v_spec::text;
        if v_same_spec and v_old.timezone = definition.timezone
           and v_old.starts_at is not distinct from definition.starts_at then
            v_first := coalesce(v_old.next_fire_at, v_old.set_aside_at);
        end if;
        if v_first is null then
            v_decided := greatest(at, case when write_version.version > 1
                then scheduler_internal.last_decided(v_shard, write_version.job_id, at) end);
            v_first := scheduler_internal.next_instant(v_spec, definition.timezone,
                greatest(v_decided, definition.starts_at - interval '1 microsecond'));
        end if;
        if v_first is null or v_first > definition.ends_at then
            -- An old schedule may have run out; one that is being written must have a future.
            if v_same_spec is not true then
                perform scheduler_internal.refuse(
                    format('schedule %L has no future run', definition.schedule),
                    format('There is none after %s%s.', greatest(v_decided, definition.starts_at),
                           coalesce(' and up to ' || definition.ends_at, '')),
                    'Correct the schedule, its years, starts_at or ends_at.',
                    argument => case when v_first > definition.ends_at then 'ends_at'
                                     else 'schedule' end);
            end if;
            v_first := null;
        end if;
    end if;

    insert into scheduler_internal.job_versions
        (shard, job_id, version, name, definition, spec, created_at)
    values (v_shard, write_version.job_id, write_version.version, write_version.name, definition,
            v_spec, at);

    delete from scheduler_internal.schedules s
    where s.shard = v_shard and s.job_id = write_version.job_id;
    if definition.schedule is not null then
        insert into scheduler_internal.schedules
            (shard, job_id, job_version, next_fire_at, last_fire_at, set_aside_at, starts_at,
             ends_at, jitter, misfire_window, expires_after, misfire_cap, rank, misfire, overlap,
             timezone, queue, job_type, handler, spec)
        select v_shard, j.job_id, write_version.version,
               case when j.paused_at is null then v_first end, v_old.last_fire_at,
               case when j.paused_at is not null then v_first end,
               definition.starts_at, definition.ends_at, definition.jitter,
               definition.misfire_window, definition.expires_after, definition.misfire_cap,
               - definition.priority, definition.misfire, definition.overlap, definition.timezone,
               definition.queue, definition.job_type, definition.target ->> 'handler', v_spec
        from scheduler_internal.jobs j
        where j.shard = v_shard and j.job_id = write_version.job_id;
    end if;
end;
$$;

comment on function scheduler_internal.write_version(
    uuid, integer, text, scheduler_internal.job_definition, timestamptz) is
    'Stores a version of a job and makes it the one that fires';
