create or replace function scheduler_internal.need_version(
    shard integer,
    job_id uuid,
    version integer,
    until timestamptz
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Keeps a version of a job for an execution that is to run far in the future. In steps of 30
    -- days, so that who triggers a job ahead each minute does not write, and lock, it each minute.
    -- Locks, Writes: job_versions (one row, which nobody but changes of the job waits for).
    update scheduler_internal.job_versions v
    set needed_until = need_version.until + interval '30 days'
    where v.shard = need_version.shard and v.job_id = need_version.job_id
      and v.version = need_version.version
      and (v.needed_until is null or v.needed_until < need_version.until)
$$;

comment on function scheduler_internal.need_version(integer, uuid, integer, timestamptz) is
    'Keeps a version of a job for an execution far ahead';
