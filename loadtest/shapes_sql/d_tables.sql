create table waiting (like scheduler_internal.waiting_3 including indexes)
    with (vacuum_truncate = off);
create table history (like scheduler_internal.history including indexes);
alter table history alter finished_at drop not null, add deadline timestamptz, add attempt_base integer,
    add crashes smallint, add exclusive boolean, add handler text, add cancel_requested_at timestamptz;
-- What a silent worker held is found by it. An index on what a finish writes would end all updates in place.
create index on history (worker_id);
