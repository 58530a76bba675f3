-- Append-only, RANGE by time, one partition a day, dropped whole by maintain(). No DEFAULT
-- partition: it would hide a missing one. History is ranged by the execution's id, whose leading 48
-- bits are a time: an id alone finds its partition.

create table scheduler_internal.history (
    execution_id uuid not null,
    shard integer not null,
    attempt integer not null,
    run_at timestamptz not null,
    created_at timestamptz not null,
    started_at timestamptz,
    finished_at timestamptz not null,
    fire_at timestamptz,
    job_id uuid,
    worker_id uuid,
    job_version integer,
    rank smallint not null,
    origin "char" not null,
    final boolean not null,
    status text not null,
    queue text not null,
    job_type text not null,
    dedup_key text,
    traceparent text,
    target jsonb,
    payload jsonb,
    policy scheduler_internal.execution_policy,
    result jsonb,
    error jsonb,
    progress jsonb,
    primary key (execution_id, attempt, shard)
) partition by range (execution_id);
comment on table scheduler_internal.history is
    'Every attempt that has ended. The one marked final is the end of its execution';
create index history_job_id_execution_id_idx on scheduler_internal.history (job_id, execution_id)
    where job_id is not null and final;

create table scheduler_internal.retried (
    shard integer not null,
    execution_id uuid not null,
    attempt integer not null,
    retried_at timestamptz not null,
    primary key (execution_id, attempt, shard)
);
comment on table scheduler_internal.retried is
    'Ends taken back by retry_execution(): history is never updated, so that an end undone is '
    'noted here';

create table scheduler_internal.skipped_fires (
    shard integer not null,
    job_id uuid not null,
    job_version integer not null,
    from_fire_at timestamptz not null,
    to_fire_at timestamptz not null,
    verdict text not null,
    decided_at timestamptz not null,
    primary key (job_id, from_fire_at, decided_at, shard)
) partition by range (decided_at);
comment on table scheduler_internal.skipped_fires is
    'The half of the ledger without executions: all instants of a schedule from .. to share one '
    'verdict, so that an outage of a year costs one row. The other half of the ledger are the '
    'executions with a fire_at';

create table scheduler_internal.rollups (
    minute timestamptz not null,
    shard integer not null,
    queue text not null,
    job_type text not null,
    succeeded bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    expired bigint not null,
    retried bigint not null,
    wait_seconds double precision not null,
    run_seconds double precision not null,
    max_wait_seconds double precision not null,
    max_run_seconds double precision not null,
    primary key (minute, queue, job_type, shard)
) partition by range (minute);
comment on table scheduler_internal.rollups is
    'Counts of ended attempts per minute: statistics cost the same at a thousand and at a billion '
    'rows of history';

create table scheduler_internal.audit_log (
    at timestamptz not null,
    audit_id uuid not null,
    actor text not null,
    action text not null,
    object_id uuid,
    object_name text,
    detail jsonb,
    request_id text,
    primary key (at, audit_id)
) partition by range (at);
comment on table scheduler_internal.audit_log is 'Who changed what, and when. Append-only';
