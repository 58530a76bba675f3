create or replace function scheduler_internal.supersede_version(
    job scheduler_internal.jobs,
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- From here on nothing is born under the present version of the job. Its last fire runs at most its
-- jitter later. In PL/pgSQL, which keeps the plan.
-- Writes: job_versions.
begin
    update scheduler_internal.job_versions v
    set superseded = true, needed_until = greatest(v.needed_until, at + (v.definition).jitter)
    where v.shard = job.shard and v.job_id = job.job_id and v.version = job.version;
end;
$$;

comment on function scheduler_internal.supersede_version(scheduler_internal.jobs, timestamptz) is
    'Marks the present version of a job as one that maintain() drops when nothing refers to it';
