-- It had one more argument, for one that is shown alone.
-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.show_jobs(uuid[], boolean);

create or replace function scheduler_internal.show_jobs(job_ids uuid[])
returns json
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
-- One plan for any ids, kept by the session: to plan for those at hand took longer than to read
-- them. The limit keeps the look-up of each id apart, so that it is in one partition of each table;
-- a join might read all of what was small when it was planned.
begin
    return (
        select json_agg(x order by x.name collate "C")
        from (
            select j.job_id, j.name, j.job_type, j.schedule, j.timezone, j.next_fire_at,
                   j.last_fire_at, j.paused, j.paused_at, j.pause_reason, j.broken_reason,
                   scheduler_internal.shorten(j.target) as target,
                   scheduler_internal.shorten(j.payload) as payload,
                   j.queue, j.priority, j.max_attempts, j.backoff, j.backoff_base, j.backoff_max,
                   j.timeout, j.expires_after, j.misfire, j.misfire_window, j.misfire_cap,
                   j.overlap, j.dst, j.jitter, j.starts_at, j.ends_at, j.tags, j.version,
                   j.created_at, j.created_by, j.updated_at
            from unnest(job_ids) i
            cross join lateral (
                select * from scheduler.jobs k
                where k.shard = scheduler.get_shard_id(i) and k.job_id = i
                limit 1) j
        ) x);
end;
$$;

comment on function scheduler_internal.show_jobs(uuid[]) is
    'Jobs as the REST API shows them, by name, their documents shortened in a list';
