create type scheduler_internal.claimed_version as (
    name text,
    target jsonb,
    payload jsonb,
    max_attempts integer,
    timeout interval
);
comment on type scheduler_internal.claimed_version is
    'What a claim takes from the version of an execution''s job';
