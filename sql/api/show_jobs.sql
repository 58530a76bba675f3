create or replace function scheduler_internal.show_jobs(job_ids uuid[], brief boolean)
returns json
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
set jit = off
as $$
-- Planned for the ids at hand. One alone tells its shard: one partition of each table.
declare
    v_shard constant integer := case when cardinality(job_ids) = 1
                                     then scheduler.get_shard_id(job_ids[1]) end;
begin
    return (
        select json_agg(x order by x.name collate "C")
        from (
            select j.job_id, j.name, j.job_type, j.schedule, j.timezone, j.next_fire_at,
                   j.last_fire_at, j.paused, j.paused_at, j.pause_reason, j.broken_reason,
                   scheduler_internal.shorten(j.target, brief) as target,
                   scheduler_internal.shorten(j.payload, brief) as payload,
                   j.queue, j.priority, j.max_attempts, j.backoff, j.backoff_base, j.backoff_max,
                   j.timeout, j.expires_after, j.misfire, j.misfire_window, j.misfire_cap,
                   j.overlap, j.dst, j.jitter, j.starts_at, j.ends_at, j.tags, j.version,
                   j.created_at, j.created_by, j.updated_at
            from scheduler.jobs j
            where (v_shard is null or j.shard = v_shard) and j.job_id = any (job_ids)
        ) x);
end;
$$;

comment on function scheduler_internal.show_jobs(uuid[], boolean) is
    'Jobs as the REST API shows them, by name, their documents shortened in a list';
