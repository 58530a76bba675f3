create or replace function scheduler.cancel_execution(execution_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Ends an execution that waits; asks the worker of one that runs to stop it (within a heartbeat).
-- Returns false when it had ended already: whoever commits first, cancel or finish, wins, and there
-- is one end.
-- Locks: the row of an execution that waits, and before it that of its job where it was made ahead,
-- for so does who changes the job; of one that runs none, because its worker must not
-- wait for us. Writes: waiting and history, or cancel_requests; audit_log.
-- Raises: P0002 for an unknown execution.
declare
    v_shard constant integer := scheduler.get_shard_id(execution_id);
    v_now constant timestamptz := scheduler.now();
    v_waiting scheduler_internal.waiting;
begin
    loop
        perform from scheduler_internal.running r
        where r.shard = v_shard and r.execution_id = cancel_execution.execution_id;
        if found then
            perform scheduler_internal.request_cancel(v_shard, array[execution_id], v_now);
            perform scheduler_internal.audit('cancel_execution', execution_id, null);
            return true;
        end if;
        select w.* into v_waiting from scheduler_internal.waiting w
        where w.shard = v_shard and w.execution_id = cancel_execution.execution_id;
        if v_waiting.fire_at > v_now then
            perform from scheduler_internal.jobs j
            where j.shard = v_shard and j.job_id = v_waiting.job_id
            for update;
        end if;
        select w.* into v_waiting from scheduler_internal.waiting w
        where w.shard = v_shard and w.execution_id = cancel_execution.execution_id
        for update;
        if found then
            perform scheduler_internal.end_waiting(v_shard, array[execution_id], 'cancelled',
                format('cancelled by %s', session_user), v_now);
            perform scheduler_internal.release_held(v_shard, array[v_waiting.job_id], v_now);
            perform scheduler_internal.audit('cancel_execution', execution_id, null);
            return true;
        end if;
        -- Between two statements it may pass from one table to the other, again and again.
        exit when not exists (
                select from scheduler_internal.running r
                where r.shard = v_shard and r.execution_id = cancel_execution.execution_id)
            and not exists (
                select from scheduler_internal.waiting w
                where w.shard = v_shard and w.execution_id = cancel_execution.execution_id);
    end loop;
    if not exists (select from scheduler_internal.history h
                   where h.execution_id = cancel_execution.execution_id) then
        perform scheduler_internal.refuse_unknown('execution', execution_id);
    end if;
    return false;
end;
$$;

comment on function scheduler.cancel_execution(uuid) is
    'Ends an execution that waits, or has the worker stop one that runs. False: it had ended '
    'already';
