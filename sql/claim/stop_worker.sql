create or replace function scheduler.stop_worker(worker_id uuid)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- A worker says goodbye: what it still holds is given back, no attempt used and no crash counted.
-- What it had not begun it has released before.
-- Locks, Writes: running, waiting, workers.
begin
    for v_shard in 0..15 loop
        perform scheduler_internal.give_back(v_shard, stop_worker.worker_id, array(
            select r.execution_id from scheduler_internal.running r
            where r.shard = v_shard and r.worker_id = stop_worker.worker_id),
            had_begun => true);
    end loop;
    update scheduler_internal.workers w
    set stopped_at = scheduler.now()
    where w.worker_id = stop_worker.worker_id;
end;
$$;

comment on function scheduler.stop_worker(uuid) is
    'Takes a worker off the list; what it still holds is given back';
