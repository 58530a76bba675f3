-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.give_back(integer, uuid, uuid[]);

create or replace function scheduler_internal.give_back(
    shard integer,
    worker_id uuid,
    execution_ids uuid[],
    had_begun boolean default false
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Moves executions of a worker from running to waiting, at once (also where the clock was set back:
-- what ran was due). The attempt number is not taken back (it is the fence) but does not count
-- against max_attempts; but what had begun does not expire any more. What was to be cancelled is
-- not run again: it ends here.
-- Locks, Writes: running, cancel_requests, waiting; history, dedup_keys, rollups for cancelled
-- ones. Returns how many there were.
declare
    v_now constant timestamptz := scheduler.now();
    v_count bigint;
    v_cancelled uuid[];
    v_exclusive uuid[];
begin
    with gone as (
        delete from scheduler_internal.running r
        where r.shard = give_back.shard and r.worker_id = give_back.worker_id
          and r.execution_id = any (execution_ids)
        returning r.*
    ), unwanted as materialized (
        delete from scheduler_internal.cancel_requests c
        where c.shard = give_back.shard
          and c.execution_id = any (array(select g.execution_id from gone g))
        returning c.execution_id
    ), again as (
        insert into scheduler_internal.waiting
            (shard, attempt, execution_id, run_at, created_at, fire_at, expires_at, job_id,
             job_version, attempt_base, rank, crashes, origin, exclusive, queue, job_type, handler,
             dedup_key, traceparent, target, payload, policy)
        select g.shard, g.attempt, g.execution_id, least(g.run_at, v_now), g.created_at, g.fire_at,
               case when not had_begun then g.expires_at end, g.job_id, g.job_version,
               g.attempt_base + 1, g.rank, g.crashes, g.origin, g.exclusive, g.queue, g.job_type,
               g.handler, g.dedup_key, g.traceparent, g.target, g.payload, g.policy
        from gone g
    )
    select count(*), array_agg(x.execution_id) filter (where x.is_unwanted),
           array_agg(x.job_id) filter (where x.is_unwanted and x.exclusive)
    into v_count, v_cancelled, v_exclusive
    from (
        select g.*,
               g.execution_id = any (array(select u.execution_id from unwanted u)) as is_unwanted
        from gone g
    ) x;
    perform scheduler_internal.sweep_soon(shard);
    if v_cancelled is not null then
        perform scheduler_internal.end_waiting(
            shard, v_cancelled, 'cancelled', 'cancelled before it started', v_now);
        perform scheduler_internal.release_held(shard, v_exclusive, v_now);
    end if;
    return v_count;
end;
$$;

comment on function scheduler_internal.give_back(integer, uuid, uuid[], boolean) is
    'Returns executions of a worker to the waiting ones, no attempt used';
