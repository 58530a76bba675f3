create type scheduler_internal.schedule_spec as (
    sec bigint,
    min bigint,
    hour integer,
    dom bigint,
    mon integer,
    dow integer,
    nth bigint,
    lom bigint,
    wd bigint,
    years integer[],
    tod0 integer,
    flags integer,
    step interval,
    anchor timestamptz
);
comment on type scheduler_internal.schedule_spec is
    'A compiled schedule: bit masks of a cron expression, or step and anchor of an "every" '
    'schedule. Made by compile_schedule(), which explains each field';

-- What a job is, in the order of create_job's arguments. One composite, so that creating, updating
-- and remembering old versions of a job need no list of 22 columns each.
create type scheduler_internal.job_definition as (
    job_type text,
    target jsonb,
    schedule text,
    timezone text,
    payload jsonb,
    queue text,
    priority integer,
    max_attempts integer,
    backoff text,
    backoff_base interval,
    backoff_max interval,
    timeout interval,
    expires_after interval,
    misfire text,
    misfire_window interval,
    misfire_cap integer,
    overlap text,
    dst text,
    jitter interval,
    starts_at timestamptz,
    ends_at timestamptz,
    tags text[]
);
comment on type scheduler_internal.job_definition is
    'What a job runs, when, and under which policies';

create type scheduler_internal.execution_policy as (
    max_attempts integer,
    backoff text,
    backoff_base interval,
    backoff_max interval,
    timeout interval
);
comment on type scheduler_internal.execution_policy is
    'How an execution without a job is retried and bounded. A job''s execution has none: its '
    'job''s version says';
