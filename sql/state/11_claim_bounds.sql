-- Where claims begin to look while dead rows lie in front of what waits: see "Dead rows" in
-- sql/README.md.

create table scheduler_internal.claim_sweeps (
    shard integer primary key,
    next_at timestamptz
) with (
    fillfactor = 50,                         -- HOT updates
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
);
comment on table scheduler_internal.claim_sweeps is
    'A row for each shard. next_at: when a claim is to look at all that waits again, by the real '
    'clock; null, as it should be: each does';
insert into scheduler_internal.claim_sweeps (shard) select generate_series(0, 15);

create table scheduler_internal.claim_bounds (
    shard integer not null,
    queue text not null,
    rank smallint not null,
    from_run_at timestamptz not null,
    primary key (shard, queue, rank)
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
);
comment on table scheduler_internal.claim_bounds is
    'Where claims begin between two sweeps: nothing older waited when that was noted, and what '
    'came since waits for the sweep. Not read while claim_sweeps says nothing';

alter table scheduler_internal.workers
    add column next_look_at timestamptz;
comment on column scheduler_internal.workers.next_look_at is
    'Not before does a heartbeat look for executions that the worker never heard of; by the real '
    'clock';

-- Who looks by worker reads running as a whole, which is small. The index was 71 of the
-- 1,290 bytes of WAL of an execution.
-- squawk-ignore require-concurrent-index-deletion
drop index scheduler_internal.running_worker_id_idx;
