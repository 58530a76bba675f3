-- The life of an execution: waiting -> running -> history (and back to waiting for another
-- attempt). Why three tables: see "The shape of the hot tables" in sql/README.md, with the
-- measurements.

create table scheduler_internal.waiting (
    shard integer not null,
    attempt integer not null,
    execution_id uuid not null,
    run_at timestamptz not null,
    created_at timestamptz not null,
    fire_at timestamptz,
    expires_at timestamptz,
    job_id uuid,
    job_version integer,
    attempt_base integer not null,
    rank smallint not null,
    crashes smallint not null,
    origin "char" not null,
    exclusive boolean not null,
    queue text not null,
    job_type text not null,
    handler text,
    dedup_key text,
    traceparent text,
    target jsonb,
    payload jsonb,
    policy scheduler_internal.execution_policy,
    primary key (execution_id, shard)
) partition by list (shard);
comment on table scheduler_internal.waiting is
    'Executions that wait: ready (run_at has come), scheduled (not yet), or held';
comment on column scheduler_internal.waiting.attempt is
    'The last attempt number given out: claim raises it, and it is the fence';
comment on column scheduler_internal.waiting.attempt_base is
    'Attempts that do not count against max_attempts: those before a retry by hand, and crashes of '
    'workers';
comment on column scheduler_internal.waiting.run_at is
    'Not before; infinity: held until the running execution of its job ends';
comment on column scheduler_internal.waiting.rank is
    'Minus the priority, so that one ascending index gives the order of claims';
comment on column scheduler_internal.waiting.origin is
    'f: fire, t: trigger, b: backfill, e: enqueue';
comment on column scheduler_internal.waiting.exclusive is
    'Its job allows one at a time (overlap queue_one or cancel_running): when it ends, a held one '
    'is let go';
comment on column scheduler_internal.waiting.target is
    'Null: the job version''s. Likewise payload and policy';

create index waiting_claim_idx on scheduler_internal.waiting (queue, rank, run_at);
-- A fire exists once, and the overlap policies find what is alive of a job.
create unique index waiting_job_id_fire_at_idx
    on scheduler_internal.waiting (job_id, fire_at, shard)
    where fire_at is not null;
-- Only rows that can expire are in it.
create index waiting_expires_at_idx on scheduler_internal.waiting (expires_at)
    where expires_at is not null;
-- Only held rows are in it: found when their predecessor ends.
create index waiting_held_idx on scheduler_internal.waiting (job_id) where run_at = 'infinity';

create table scheduler_internal.running (
    shard integer not null,
    attempt integer not null,
    execution_id uuid not null,
    worker_id uuid not null,
    started_at timestamptz not null,
    deadline timestamptz not null,
    run_at timestamptz not null,
    created_at timestamptz not null,
    fire_at timestamptz,
    expires_at timestamptz,
    cancel_requested_at timestamptz,
    job_id uuid,
    token uuid,
    job_version integer,
    attempt_base integer not null,
    rank smallint not null,
    crashes smallint not null,
    origin "char" not null,
    exclusive boolean not null,
    queue text not null,
    job_type text not null,
    handler text,
    dedup_key text,
    traceparent text,
    target jsonb,
    payload jsonb,
    policy scheduler_internal.execution_policy,
    progress jsonb,
    primary key (execution_id, shard)
) partition by list (shard);
comment on table scheduler_internal.running is
    'Executions in the hands of a worker: exactly these, never more than the workers can run';
comment on column scheduler_internal.running.token is
    'Known to the worker alone: lets the connection of a SQL job, which has no other right here, '
    'finish that job';
create index running_worker_id_idx on scheduler_internal.running (worker_id);
create unique index running_job_id_fire_at_idx
    on scheduler_internal.running (job_id, fire_at, shard)
    where fire_at is not null;

create table scheduler_internal.dedup_keys (
    shard integer not null,
    dedup_key text not null,
    execution_id uuid not null,
    primary key (dedup_key, shard)
) partition by list (shard);
comment on table scheduler_internal.dedup_keys is
    'The keys of executions that have not ended: one table over waiting and running, so that there '
    'is no gap between them';

do $$
declare
    -- Churned empty and full again all day: vacuum by count, at full speed, and never give the
    -- pages back (truncation takes an exclusive lock, also on the replicas).
    v_hot constant text := '
        autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.5, autovacuum_analyze_threshold = 10000,
        vacuum_truncate = off';
    v_table text;
begin
    for v_shard in 0..15 loop
        foreach v_table in array array['waiting', 'running', 'dedup_keys'] loop
            execute pg_catalog.format(
                'create table scheduler_internal.%1$s_%2$s
                     partition of scheduler_internal.%1$s for values in (%2$s) with (%3$s)',
                v_table, v_shard, v_hot);
        end loop;
    end loop;
end $$;
