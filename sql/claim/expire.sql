create or replace function scheduler_internal.expire(
    shard integer,
    execution_ids uuid[],
    at timestamptz
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Ends executions that nobody started in time. Rows must be locked by the caller.
-- Writes: waiting, history, dedup_keys, rollups. Returns how many there were.
declare
    v_job_ids uuid[];
    v_count bigint;
begin
    v_job_ids := array(
        select w.job_id from scheduler_internal.waiting w
        where w.shard = expire.shard and w.execution_id = any (execution_ids) and w.exclusive);
    v_count := scheduler_internal.end_waiting(shard, execution_ids, 'expired',
        'no worker started it in time', at);
    if v_job_ids <> '{}' then
        perform scheduler_internal.release_held(shard, v_job_ids, at);
    end if;
    return v_count;
end;
$$;

comment on function scheduler_internal.expire(integer, uuid[], timestamptz) is
    'Ends executions whose expires_after has run out before their first start';
