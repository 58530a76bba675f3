-- squawk-ignore ban-drop-function
drop function if exists scheduler.put_job(
    text, text, jsonb, text, text, jsonb, text, integer, integer, text, interval, interval,
    interval, interval, text, interval, integer, text, text, interval, timestamptz,
    timestamptz, text[]);

create or replace function scheduler.put_job(
    name text,
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
returns uuid
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- Makes the job of this name, or gives it this definition; an unchanged one is left as it is,
    -- and an unchanged schedule keeps its next fire.
    -- Locks: as change_job(). Writes: jobs, job_versions, schedules, audit_log; and job_names when
    -- new.
    -- Raises: 22023 for whatever in it is wrong; JB004 where the job is not at the expected
    -- version (-1: where there is no such job).
    select scheduler_internal.save_job(
        name,
        row(job_type, target, schedule, timezone, payload, queue, priority, max_attempts, backoff,
            backoff_base, backoff_max, timeout, expires_after, misfire, misfire_window, misfire_cap,
            overlap, dst, jitter, starts_at, ends_at, tags)::scheduler_internal.job_definition,
        replace_existing => true, expected_version => expected_version)
$$;

comment on function scheduler.put_job is
    'Creates or updates the job of this name and returns its id. Idempotent: the same definition '
    'again writes nothing. With an expected_version only a job that is at it';
