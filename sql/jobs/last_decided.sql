create or replace function scheduler_internal.last_decided(
    shard integer,
    job_id uuid,
    after timestamptz
)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- From the ledger, which knows also what another schedule of the job has decided. In PL/pgSQL,
-- which keeps the plan, as find_fires().
begin
    return (
        select max(d.fire_at)
        from (
            select f.fire_at
            from scheduler_internal.find_fires(
                last_decided.shard, last_decided.job_id, after) f
            union all
            select s.to_fire_at from scheduler_internal.skipped_fires s
            where s.job_id = last_decided.job_id and s.decided_at > after
        ) d);
end;
$$;

comment on function scheduler_internal.last_decided(integer, uuid, timestamptz) is
    'The newest instant of a job, from a time on, that has its verdict. From now on there is none, '
    'unless the clock was set back, or one was made ahead and cancelled';
