create or replace function scheduler_internal.check_worker(worker_id uuid, at timestamptz)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: JB001 when the worker may not hold executions.
begin
    perform from scheduler_internal.workers w
    where w.worker_id = check_worker.worker_id and w.stopped_at is null
      and w.last_beat_at + w.lease > at;
    if not found then
        perform scheduler_internal.refuse(
            format('worker %s has no lease', coalesce(worker_id::text, 'null')),
            'It is not registered, was stopped, or has been silent for longer than its lease.',
            'Call scheduler.heartbeat first.', 'JB001');
    end if;
end;
$$;

comment on function scheduler_internal.check_worker(uuid, timestamptz) is
    'Refuses a worker without a lease';
