create table waiting (like scheduler_internal.waiting_3 including indexes)
    with (vacuum_truncate = off);
alter table waiting add worker_id uuid, add started_at timestamptz, add deadline timestamptz;
create index on waiting (worker_id) where worker_id is not null;
drop index waiting_queue_rank_run_at_idx;
create index on waiting (queue, rank, run_at) where worker_id is null;
create table history (like scheduler_internal.history including indexes);
