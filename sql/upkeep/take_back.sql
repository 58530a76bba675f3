create or replace function scheduler_internal.take_back(
    shard integer,
    execution_ids uuid[],
    at timestamptz
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Ends attempts whose worker has fallen silent: back to wait, at once (also where the clock was set
-- back: what ran was due); after the third crash, or where a cancel was asked for, to the end. Rows
-- must be locked by the caller.
-- Counted apart, so that it waits for no finish: on a busy machine one holds the shard's row of the
-- rollups for longer than reap() has time for a shard.
-- Writes: running, cancel_requests, history, waiting, dedup_keys, rollups. Returns how many there
-- were.
declare
    v_ended uuid[];
    v_count bigint;
    v_counts scheduler_internal.rollups[];
begin
    perform scheduler_internal.ensure_history(execution_ids);
    with gone as (
        delete from scheduler_internal.running r
        where r.shard = take_back.shard and r.execution_id = any (execution_ids)
        returning r.*
    ), unwanted as (
        delete from scheduler_internal.cancel_requests c
        where c.shard = take_back.shard
          and c.execution_id = any (array(select g.execution_id from gone g))
        returning c.execution_id
    ), judged as materialized (
        select g.*, g.crashes + 1 >= 3 or u.is_so as final,
               case when u.is_so then 'cancelled' else 'failed' end as status
        from gone g
        cross join lateral (
            select g.execution_id = any (array(select x.execution_id from unwanted x)) as is_so
        ) u
    ), remembered as (
        insert into scheduler_internal.history
            (execution_id, shard, attempt, run_at, created_at, started_at, finished_at, fire_at,
             job_id, worker_id, job_version, rank, origin, final, status, queue, job_type,
             dedup_key, traceparent, target, payload, policy, error, progress)
        select j.execution_id, j.shard, j.attempt, j.run_at, j.created_at, j.started_at, at,
               j.fire_at, j.job_id, j.worker_id, j.job_version, j.rank, j.origin, j.final, j.status,
               j.queue, j.job_type, j.dedup_key, j.traceparent, j.target, j.payload, j.policy,
               jsonb_build_object(
                   'type', case when j.crashes + 1 >= 3 then 'quarantined' else 'worker_lost' end,
                   'message', case when j.crashes + 1 >= 3
                       then format('quarantined: %s workers fell silent while they ran it',
                                   j.crashes + 1)
                       else 'the worker fell silent for longer than its lease' end),
               j.progress
        from judged j
    ), again as (
        insert into scheduler_internal.waiting
            (shard, attempt, execution_id, run_at, created_at, fire_at, expires_at, job_id,
             job_version, attempt_base, rank, crashes, origin, exclusive, queue, job_type, handler,
             dedup_key, traceparent, target, payload, policy)
        select j.shard, j.attempt, j.execution_id, least(j.run_at, at), j.created_at, j.fire_at,
               null, j.job_id, j.job_version, j.attempt_base + 1, j.rank, j.crashes + 1, j.origin,
               j.exclusive, j.queue, j.job_type, j.handler, j.dedup_key, j.traceparent, j.target,
               j.payload, j.policy
        from judged j
        where not j.final
    ), freed as (
        delete from scheduler_internal.dedup_keys d
        where d.shard = take_back.shard
          and d.dedup_key = any (array(select j.dedup_key from judged j where j.final))
          and d.execution_id = any (array(select j.execution_id from judged j where j.final))
    ), counted as (
        select row(date_trunc('minute', at), take_back.shard, j.queue, j.job_type, 0,
                   count(*) filter (where j.final and j.status = 'failed'),
                   count(*) filter (where j.final and j.status = 'cancelled'), 0,
                   count(*) filter (where not j.final), 0, 0, 0, 0)::scheduler_internal.rollups
                   as count
        from judged j
        group by j.queue, j.job_type
    )
    select count(*), array_agg(j.job_id) filter (where j.final and j.exclusive),
           array(select c.count from counted c)
    into v_count, v_ended, v_counts
    from judged j;
    perform scheduler_internal.sweep_soon(shard);
    if v_ended is not null then
        perform scheduler_internal.release_held(shard, v_ended, at);
    end if;
    perform scheduler_internal.count_ends(v_counts, apart => true);
    return v_count;
end;
$$;

comment on function scheduler_internal.take_back(integer, uuid[], timestamptz) is
    'Ends attempts whose worker has fallen silent, and has their executions run again';
