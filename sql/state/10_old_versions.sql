-- Which versions of jobs maintain() may drop.

alter table scheduler_internal.job_versions
    add column superseded boolean not null default false,
    add column needed_until timestamptz;

update scheduler_internal.job_versions v
set superseded = not exists (
        select from scheduler_internal.jobs j
        where j.shard = v.shard and j.job_id = v.job_id and j.version = v.version),
    needed_until = greatest(now() + interval '1 day', (
        select max(w.run_at) from scheduler_internal.waiting w
        where w.shard = v.shard and w.job_id = v.job_id and w.job_version = v.version
          and w.run_at < 'infinity'));

comment on column scheduler_internal.job_versions.needed_until is
    'The ids of its executions reach no further than a day past this; null: it is not superseded, '
    'and none is triggered ahead';

-- In the migration's one transaction, on a table that is written to rarely.
-- squawk-ignore require-concurrent-index-creation
create index job_versions_needed_until_idx on scheduler_internal.job_versions (needed_until)
    where superseded;
