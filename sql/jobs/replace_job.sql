create or replace function scheduler.replace_job(
    job_id uuid,
    job_type text,
    target jsonb,
    schedule text default null,
    timezone text default 'UTC',
    payload jsonb default null,
    queue text default 'default',
    priority integer default 0,
    max_attempts integer default 3,
    backoff text default 'exponential',
    backoff_base interval default '10 seconds',
    backoff_max interval default '1 hour',
    timeout interval default '1 hour',
    expires_after interval default null,
    misfire text default 'fire_once',
    misfire_window interval default null,
    misfire_cap integer default null,
    overlap text default 'skip',
    dst text default 'debian',
    jitter interval default '0',
    starts_at timestamptz default null,
    ends_at timestamptz default null,
    tags text[] default '{}',
    expected_version integer default null
)
returns void
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- Gives a job this definition, whatever it had: what is not said becomes the default again. An
    -- unchanged schedule keeps its next fire.
    -- Locks, Writes: as change_job().
    -- Raises: P0002 for an unknown job; 22023 for whatever in it is wrong; JB004 where the job is
    -- not at the expected version.
    select scheduler_internal.change_job(
        job_id,
        scheduler_internal.check_definition(
            row(job_type, target, schedule, timezone, payload, queue, priority, max_attempts,
                backoff, backoff_base, backoff_max, timeout, expires_after, misfire,
                misfire_window, misfire_cap, overlap, dst, jitter, starts_at, ends_at,
                tags)::scheduler_internal.job_definition),
        expected_version)
$$;

comment on function scheduler.replace_job is
    'put_job() for a job that there is, by its id. With an expected_version only if it is at it';
