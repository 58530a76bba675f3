create or replace function scheduler.get_job_json(job_id uuid)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set jit = off
as $$
-- One plan for any id, kept by the session; its id tells the shard: one partition of each table.
declare
    v_shard constant integer := scheduler.get_shard_id(job_id);
begin
    return (
        select row_to_json(x)
        from (
            select j.job_id, j.name, j.job_type, j.schedule, j.timezone, j.next_fire_at,
                   j.last_fire_at, j.paused, j.paused_at, j.pause_reason, j.broken_reason,
                   j.target, j.payload, j.queue, j.priority, j.max_attempts, j.backoff,
                   j.backoff_base, j.backoff_max, j.timeout, j.expires_after, j.misfire,
                   j.misfire_window, j.misfire_cap, j.overlap, j.dst, j.jitter, j.starts_at,
                   j.ends_at, j.tags, j.version, j.created_at, j.created_by, j.updated_at
            from scheduler.jobs j
            where j.shard = v_shard and j.job_id = get_job_json.job_id
        ) x);
end;
$$;

comment on function scheduler.get_job_json(uuid) is
    'A job as JSON: a row of the view jobs, times in UTC; null when there is none';
