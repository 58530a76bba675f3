create or replace function scheduler_internal.cancel_fires(
    shard integer,
    job_id uuid,
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Cancels the fires of a job that wait, and asks for the end of those that run; also of those that
-- somebody else holds just now, to claim or to cancel them.
-- Locks: waiting rows, SKIP LOCKED. Writes: waiting, history, dedup_keys, rollups; cancel_requests.
declare
    v_waiting uuid[];
begin
    v_waiting := array(
        select w.execution_id from scheduler_internal.waiting w
        where w.shard = cancel_fires.shard and w.job_id = cancel_fires.job_id
          and w.fire_at is not null and w.origin = 'f'
        for update skip locked);
    perform scheduler_internal.end_waiting(shard, v_waiting, 'cancelled',
        'replaced by the next fire of its job', at);
    perform scheduler_internal.request_cancel(shard, array(
        select r.execution_id from scheduler_internal.running r
        where r.shard = cancel_fires.shard and r.job_id = cancel_fires.job_id
          and r.fire_at is not null and r.origin = 'f'
        union all
        select w.execution_id from scheduler_internal.waiting w
        where w.shard = cancel_fires.shard and w.job_id = cancel_fires.job_id
          and w.fire_at is not null and w.origin = 'f'), at);
end;
$$;

comment on function scheduler_internal.cancel_fires(integer, uuid, timestamptz) is
    'Makes way for the next fire of a job whose overlap policy is cancel_running';
