create table scheduler_internal.jobs (
    shard integer not null,
    job_id uuid not null,
    name text not null,
    version integer not null,
    paused_at timestamptz,
    pause_reason text,
    created_at timestamptz not null,
    created_by text not null,
    updated_at timestamptz not null,
    primary key (job_id, shard)
) partition by list (shard);
comment on table scheduler_internal.jobs is 'The jobs: name and current version. Rarely written';

create table scheduler_internal.job_versions (
    shard integer not null,
    job_id uuid not null,
    version integer not null,
    name text not null,
    definition scheduler_internal.job_definition not null,
    spec scheduler_internal.schedule_spec,
    created_at timestamptz not null,
    primary key (job_id, version, shard)
) partition by list (shard);
comment on table scheduler_internal.job_versions is
    'Every definition that a job ever had: an execution refers to the one it was born under';

create table scheduler_internal.schedules (
    shard integer not null,
    job_version integer not null,
    job_id uuid not null,
    next_fire_at timestamptz,
    last_fire_at timestamptz,
    set_aside_at timestamptz,
    starts_at timestamptz,
    ends_at timestamptz,
    jitter interval not null,
    misfire_window interval,
    expires_after interval,
    misfire_cap integer,
    rank smallint not null,
    misfire text not null,
    overlap text not null,
    timezone text not null,
    queue text not null,
    job_type text not null,
    handler text,
    broken_reason text,
    spec scheduler_internal.schedule_spec not null,
    primary key (job_id, shard)
) partition by list (shard);
comment on table scheduler_internal.schedules is
    'The firing state of each scheduled job, with all that a tick needs and nothing else: it is '
    'written at every fire';
comment on column scheduler_internal.schedules.next_fire_at is
    'The first instant without a verdict; null: never again, paused, or set aside as broken';
comment on column scheduler_internal.schedules.set_aside_at is
    'The first instant without a verdict while the job is paused or broken';
create index schedules_next_fire_at_idx on scheduler_internal.schedules (next_fire_at)
    where next_fire_at is not null;

do $$
begin
    for v_shard in 0..15 loop
        execute pg_catalog.format(
            'create table scheduler_internal.jobs_%1$s
                 partition of scheduler_internal.jobs for values in (%1$s)',
            v_shard);
        execute pg_catalog.format(
            'create table scheduler_internal.job_versions_%1$s
                 partition of scheduler_internal.job_versions for values in (%1$s)',
            v_shard);
        -- A part of each page is kept free: a fire moves next_fire_at, an index entry, but stays on
        -- its page. Vacuum by count: at 1,000 fires a second the default (20 % of the table) comes
        -- too late.
        execute pg_catalog.format(
            'create table scheduler_internal.schedules_%1$s
                 partition of scheduler_internal.schedules for values in (%1$s)
                 with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02,
                       autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
                       vacuum_truncate = off)',
            v_shard);
    end loop;
end $$;
