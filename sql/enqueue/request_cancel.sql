create or replace function scheduler_internal.request_cancel(
    shard integer,
    execution_ids uuid[],
    at timestamptz
)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- Asks for the end of executions that are in a worker's hands: heartbeat() tells the worker,
    -- and whatever becomes of this attempt, no other follows.
    -- Locks nothing: the caller may keep its transaction open for hours, and a worker must not wait
    -- for it. What ends, or goes back to wait, before the caller commits is settle_cancels()'s.
    -- Writes: cancel_requests.
    insert into scheduler_internal.cancel_requests (shard, execution_id, request_id, requested_at)
    select request_cancel.shard, i, gen_random_uuid(), at
    from unnest(execution_ids) i
    where not exists (
        select from scheduler_internal.cancel_requests c
        where c.shard = request_cancel.shard and c.execution_id = i)
$$;

comment on function scheduler_internal.request_cancel(integer, uuid[], timestamptz) is
    'Asks for the end of executions that run';
