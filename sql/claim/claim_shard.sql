create or replace function scheduler_internal.claim_shard(
    shard integer,
    worker_id uuid,
    max_executions integer,
    queues text[],
    job_types text[],
    handlers text[],
    at timestamptz
)
returns table (
    execution_id uuid,
    attempt integer,
    job_id uuid,
    job_name text,
    job_type text,
    queue text,
    target jsonb,
    payload jsonb,
    fire_at timestamptz,
    run_at timestamptz,
    started_at timestamptz,
    timeout interval,
    max_attempts integer,
    traceparent text,
    token uuid
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
-- claim() on one shard. The index (queue, rank, run_at) is walked by (queue, rank): each lane that
-- exists is found by one probe, and its ready rows are one range, so that rows that wait for the
-- future cost nothing. The queues come in another order each time: in that of their names, one that
-- never runs empty would starve all that follow.
--
-- In front of the ready rows lie the entries of claimed ones, until vacuum may remove them. Where
-- they are many, claims begin at a bound, and one looks at all that waits now and then:
-- note_sweep().
--
-- The settings fix its plans, which are made once a session: index walks, pruned to the shard as
-- they start. Planned anew each time a claim of one took 1.95 ms of CPU, so it takes 1.2; left to
-- choose, the planner sorted all that is ready, because it plans for an unknown limit.
declare
    v_seed constant bigint := floor(random() * 4294967296);
    v_default constant scheduler_internal.execution_policy :=
        scheduler_internal.default_policy();
    v_mode constant text := scheduler_internal.claim_mode(shard);
    v_walked_before constant bigint := scheduler_internal.walked(shard);
    v_walked bigint;
    v_dead bigint;  -- of each lane one entry is its oldest, which waits
    v_lanes scheduler_internal.claim_bounds[];
    v_lane scheduler_internal.claim_bounds;
    v_left integer := max_executions;
    v_count integer;
begin
    v_lanes := array(
        select l
        from scheduler_internal.lanes(
            shard, v_mode = 'bounded', case when v_mode <> 'sweep' then queues end) l
        order by hashtextextended(l.queue, v_seed), l.rank);
    v_walked := scheduler_internal.walked(shard);
    v_dead := v_walked - v_walked_before - cardinality(v_lanes);
    if v_mode = 'sweep' or v_mode = 'all' and scheduler_internal.is_far(v_dead) then
        perform scheduler_internal.note_sweep(
            shard, v_dead,
            case when v_mode = 'sweep' or queues is null then v_lanes
                 else array(select l from scheduler_internal.lanes(shard, false, null) l) end,
            at);
    end if;
    if max_executions = 0 then  -- warm_up(): a look that finds nothing makes the plans too
        v_lanes := array[row(shard, '', 0, at)::scheduler_internal.claim_bounds];
    end if;
    foreach v_lane in array v_lanes loop
        -- A lane that waits for the future costs no statement, but from a bound: of 1,000 a claim
        -- took 65 ms a shard.
        continue when (v_lane.from_run_at <= at
                       and (queues is null or v_lane.queue = any (queues))) is not true;
        return query
        with picked as materialized (
            select w.ctid as row_id from scheduler_internal.waiting w
            where w.shard = claim_shard.shard and w.queue = v_lane.queue
              and w.rank = v_lane.rank and w.run_at >= v_lane.from_run_at and w.run_at <= at
              and (w.expires_at is null or w.expires_at > at or w.attempt > w.attempt_base)
              and (job_types is null or w.job_type = any (job_types))
              and (handlers is null or w.handler is null or w.handler = any (handlers))
            order by w.run_at
            limit v_left
            for update skip locked
        ), taken as (
            -- The job's version as a column: a join would copy each of these wide rows once more.
            -- policy_of() is written out, because it makes a row of five to take one from it.
            delete from scheduler_internal.waiting w
            where w.shard = claim_shard.shard
              and w.ctid = any (array(select p.row_id from picked p))
            returning w.*, case when w.job_type = 'sql' then gen_random_uuid() end as token,
                case when w.job_id is not null then (
                    select row(v.name, (v.definition).target, (v.definition).payload,
                               (v.definition).max_attempts, (v.definition).timeout)
                           ::scheduler_internal.claimed_version
                    from scheduler_internal.job_versions v
                    where v.shard = claim_shard.shard and v.job_id = w.job_id
                      and v.version = w.job_version) end as job
        ), started as (
            insert into scheduler_internal.running
                (shard, attempt, execution_id, worker_id, started_at, deadline, run_at, created_at,
                 fire_at, expires_at, job_id, token, job_version, attempt_base, rank, crashes,
                 origin, exclusive, queue, job_type, handler, dedup_key, traceparent, target,
                 payload, policy)
            select t.shard, t.attempt + 1, t.execution_id, claim_shard.worker_id, at,
                   at + coalesce((t.policy).timeout, (t.job).timeout, v_default.timeout),
                   t.run_at, t.created_at, t.fire_at, t.expires_at, t.job_id, t.token,
                   t.job_version, t.attempt_base, t.rank, t.crashes, t.origin, t.exclusive, t.queue,
                   t.job_type, t.handler, t.dedup_key, t.traceparent, t.target, t.payload, t.policy
            from taken t
        )
        select t.execution_id, t.attempt + 1, t.job_id, (t.job).name, t.job_type, t.queue,
               coalesce(t.target, (t.job).target), coalesce(t.payload, (t.job).payload), t.fire_at,
               t.run_at, at,
               -- as a worker counts: a month from now is so many days
               at + coalesce((t.policy).timeout, (t.job).timeout, v_default.timeout) - at,
               coalesce((t.policy).max_attempts, (t.job).max_attempts, v_default.max_attempts),
               t.traceparent, t.token
        from taken t
        order by t.run_at;

        get diagnostics v_count = row_count;
        v_left := v_left - v_count;
        if v_mode = 'bounded' then
            perform scheduler_internal.note_walk(
                v_lane, scheduler_internal.walked(shard) - v_walked - v_count, at);
            v_walked := scheduler_internal.walked(shard);
        end if;
        exit when v_left <= 0;
    end loop;
end;
$$;

comment on function scheduler_internal.claim_shard(
    integer, uuid, integer, text[], text[], text[], timestamptz) is 'claim() on one shard';
