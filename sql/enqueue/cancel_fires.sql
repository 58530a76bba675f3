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
-- Cancels the fires of a job that wait, and asks for the end of those that run.
-- Locks, Writes: waiting, running, history.
begin
    perform scheduler_internal.end_waiting(shard, array(
        select w.execution_id from scheduler_internal.waiting w
        where w.shard = cancel_fires.shard and w.job_id = cancel_fires.job_id
          and w.fire_at is not null and w.origin = 'f'
        for update), 'cancelled', 'replaced by the next fire of its job', at);
    update scheduler_internal.running r
    set cancel_requested_at = coalesce(r.cancel_requested_at, at)
    where r.shard = cancel_fires.shard and r.job_id = cancel_fires.job_id
      and r.fire_at is not null and r.origin = 'f';
end;
$$;

comment on function scheduler_internal.cancel_fires(integer, uuid, timestamptz) is
    'Makes way for the next fire of a job whose overlap policy is cancel_running';
