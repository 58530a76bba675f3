-- Small, unsharded tables (on Citus: reference tables).

create table scheduler_internal.repeatables (
    path text primary key,
    checksum text not null,
    applied_at timestamptz not null default pg_catalog.clock_timestamp()
);
comment on table scheduler_internal.repeatables is
    'Which text of each re-runnable file of sql/ this database has';

create table scheduler_internal.time_zones (
    name text primary key
);
comment on table scheduler_internal.time_zones is
    'IANA zone names that a schedule may use. A copy: a scan of pg_timezone_names reads the disk '
    'for 50 ms';

create table scheduler_internal.job_names (
    name text primary key,
    job_id uuid not null
);
comment on table scheduler_internal.job_names is 'Keeps job names unique across the shards';

create table scheduler_internal.workers (
    worker_id uuid primary key,
    node_id text not null,
    queues text[],
    job_types text[],
    concurrency integer,
    lease interval not null,
    started_at timestamptz not null,
    last_beat_at timestamptz not null,
    draining boolean not null,
    stopped_at timestamptz,
    constraint lease_positive check (lease > interval '0')
) with (
    fillfactor = 50,                         -- a beat is a HOT update: no index on what it changes
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
);
comment on table scheduler_internal.workers is
    'One row per worker process, one write per beat: a lease belongs to the worker, not to its '
    'executions';
