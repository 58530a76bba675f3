create or replace function scheduler.finish_sql_job(
    execution_id uuid,
    attempt integer,
    token uuid,
    result jsonb
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- The end of a SQL job that succeeded, called in the job's own transaction: its effect and its end
-- commit together, or neither. False: the attempt is stale; roll back. The token, which claim()
-- gave to the worker alone, is what a job cannot forge.
--
-- From here to the commit the transaction holds the execution, and the schedule of one that may
-- have held another, against reap and ticks: so a caller that freezes in between is cut off after
-- half a lease, before others could have it.
-- Locks, Writes: as finish().
declare
    v_worker_id uuid;
    v_lease interval;
begin
    select r.worker_id, w.lease into v_worker_id, v_lease
    from scheduler_internal.running r
    join scheduler_internal.workers w on w.worker_id = r.worker_id
    where r.shard = scheduler.get_shard_id(finish_sql_job.execution_id)
      and r.execution_id = finish_sql_job.execution_id
      and r.attempt = finish_sql_job.attempt and r.token = finish_sql_job.token;
    if not found then
        return false;
    end if;
    perform set_config('idle_in_transaction_session_timeout',
        (extract(epoch from v_lease) * 500)::bigint::text, true);
    return scheduler_internal.finish_apart(
        v_worker_id, execution_id, attempt, 'succeeded', result);
end;
$$;

comment on function scheduler.finish_sql_job(uuid, integer, uuid, jsonb) is
    'Ends a SQL job in its own transaction. False: the attempt is stale, roll back';
