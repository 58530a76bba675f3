create table waiting (like scheduler_internal.waiting_3 including indexes)
    with (vacuum_truncate = off);
create table running (like scheduler_internal.running_3 including indexes)
    with (vacuum_truncate = off);
create table history (like scheduler_internal.history including indexes);
