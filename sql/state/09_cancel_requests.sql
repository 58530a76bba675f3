-- Whoever asks that a running execution stop says so here, and locks no row that its worker needs.

create table scheduler_internal.cancel_requests (
    shard integer not null,
    execution_id uuid not null,
    request_id uuid not null,
    requested_at timestamptz not null,
    primary key (execution_id, request_id, shard)
) with (
    autovacuum_vacuum_scale_factor = 0,      -- nearly always empty, and every finish looks into it
    autovacuum_vacuum_threshold = 200,
    vacuum_truncate = off
);
comment on table scheduler_internal.cancel_requests is
    'Wishes that a running execution stop, until it has ended. Apart from running, so that whoever '
    'asks locks no row that its worker needs, and under an id of their own, so that two who ask do '
    'not wait for each other';

insert into scheduler_internal.cancel_requests (shard, execution_id, request_id, requested_at)
select r.shard, r.execution_id, gen_random_uuid(), r.cancel_requested_at
from scheduler_internal.running r
where r.cancel_requested_at is not null;

-- Only our functions know the column, and they change in the same transaction.
-- squawk-ignore ban-drop-column
alter table scheduler_internal.running drop column cancel_requested_at;
