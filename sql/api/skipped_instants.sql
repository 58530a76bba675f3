create or replace function scheduler_internal.skipped_instants(
    job_id uuid,
    from_time timestamptz,
    before timestamptz,
    fired timestamptz[],
    max_rows integer
)
returns table (fire_at timestamptz, verdict text, decided_at timestamptz)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_sort = off
set jit = off
as $$
-- The half of the ledger without executions, newest first: the instants of a job in
-- [from_time, before) that were skipped, as many as make max_rows together with the fired ones
-- (newest first) among them. What was skipped and then made good for by a backfill is among those.
--
-- The runs of skipped_fires follow each other in time, so that the newest max_rows of them hold the
-- newest max_rows instants. Each is walked backwards from its end, 20 to 300 us an instant, however
-- long it is.
declare
    v_run record;
    v_upto timestamptz;
    v_fired integer := 0;  -- how many of them are not older than the instant at hand
    v_rows integer := 0;
begin
    for v_run in
        select s.set_aside_at as from_fire_at, least(scheduler.now(), s.ends_at) as to_fire_at,
               'skipped_paused' as verdict, null::timestamptz as decided_at, s.spec, s.timezone
        from scheduler_internal.jobs j
        join scheduler_internal.schedules s on s.shard = j.shard and s.job_id = j.job_id
        where j.shard = scheduler.get_shard_id(skipped_instants.job_id)
          and j.job_id = skipped_instants.job_id and j.paused_at is not null
          and s.broken_reason is null and s.set_aside_at <= scheduler.now()
          and s.set_aside_at < before and scheduler_internal.knows_time_zone(s.timezone)
        union all
        select r.from_fire_at, r.to_fire_at, r.verdict, r.decided_at, v.spec,
               (v.definition).timezone
        from (
            select f.* from scheduler_internal.skipped_fires f
            where f.job_id = skipped_instants.job_id and f.from_fire_at < before
            order by f.from_fire_at desc
            limit max_rows
        ) r
        join scheduler_internal.job_versions v
          on v.shard = r.shard and v.job_id = r.job_id and v.version = r.job_version
        where scheduler_internal.knows_time_zone((v.definition).timezone)
        order by from_fire_at desc
    loop
        v_upto := least(v_run.to_fire_at, before - interval '1 microsecond');
        loop
            fire_at := scheduler_internal.last_instant(v_run.spec, v_run.timezone, v_upto);
            exit when fire_at is null or fire_at < greatest(v_run.from_fire_at, from_time);
            while fired[v_fired + 1] >= fire_at loop
                v_fired := v_fired + 1;
            end loop;
            if v_fired + v_rows >= max_rows then
                return;
            end if;
            if fired[v_fired] is distinct from fire_at then
                verdict := v_run.verdict;
                decided_at := v_run.decided_at;
                v_rows := v_rows + 1;
                return next;
            end if;
            v_upto := fire_at - interval '1 microsecond';
        end loop;
    end loop;
end;
$$;

comment on function scheduler_internal.skipped_instants(
    uuid, timestamptz, timestamptz, timestamptz[], integer) is
    'The instants of a job that were skipped, newest first: the half of list_fires() that has no '
    'executions';
