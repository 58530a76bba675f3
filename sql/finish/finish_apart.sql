create or replace function scheduler_internal.finish_apart(
    worker_id uuid,
    execution_id uuid,
    attempt integer,
    status text,
    result jsonb default null,
    error jsonb default null
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- finish() of one execution for a caller who commits from outside, or much later: a worker that may
-- freeze before it commits its SQL job, a psql that runs another job first. It holds that execution
-- until then, and the schedule of one that may have held another, but nothing that others need.
-- Locks, Writes: as finish(). False: the attempt is stale.
declare
    v_ended record;
begin
    perform scheduler_internal.ensure_history(array[execution_id]);
    v_ended := scheduler_internal.finish_shard(scheduler.get_shard_id(execution_id), worker_id,
        array[execution_id], array[attempt], array[status], array[result], array[error], null,
        scheduler.now());
    perform scheduler_internal.count_ends(v_ended.counts, apart => true);
    return v_ended.stale_ids is null;
end;
$$;

comment on function scheduler_internal.finish_apart(uuid, uuid, integer, text, jsonb, jsonb) is
    'Ends one attempt for a caller whose commit may be long in coming';
