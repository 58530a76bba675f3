create or replace function scheduler.retry_execution(execution_id uuid)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Runs an ended execution again, under the same id, at once, with all its attempts anew. Its
-- earlier attempts stay in the history. Returns false when it has not ended: it waits or runs
-- already.
-- Locks: the rows of job and schedule where the job allows one fire at a time and one was made
-- ahead, which would start beside this: it is taken back. Else none, for who retries by hand may
-- not commit for long, and a tick passes over a schedule that is locked.
-- Writes: schedules, retried, waiting, cancel_requests, dedup_keys, audit_log.
-- Raises: P0002 for an unknown execution; 55000 when another execution holds its dedup_key.
declare
    v_shard constant integer := scheduler.get_shard_id(execution_id);
    v_now timestamptz;
    v_end scheduler_internal.history;
    v_definition scheduler_internal.job_definition;
begin
    -- In this order: what ends between the two looks is seen by the second.
    if exists (select from scheduler_internal.waiting w
               where w.shard = v_shard and w.execution_id = retry_execution.execution_id)
       or exists (select from scheduler_internal.running r
                  where r.shard = v_shard and r.execution_id = retry_execution.execution_id) then
        return false;
    end if;
    select h.* into v_end from scheduler_internal.history h
    where h.execution_id = retry_execution.execution_id and h.final
    order by h.attempt desc
    limit 1;
    if not found then
        perform scheduler_internal.refuse_unknown('execution', execution_id);
    end if;
    if v_end.origin = 'f' and exists (
           select from scheduler_internal.schedules s
           where s.shard = v_shard and s.job_id = v_end.job_id and s.overlap <> 'allow'
             and s.last_fire_at > scheduler.now()) then
        perform scheduler_internal.lock_job(v_end.job_id);
        perform scheduler_internal.take_back_fires(v_shard, v_end.job_id, scheduler.now());
    end if;
    v_now := scheduler.now();  -- not before: we may have waited
    -- Of two who retry the same end, one wins: its row is unique.
    insert into scheduler_internal.retried (shard, execution_id, attempt, retried_at)
    values (v_shard, retry_execution.execution_id, v_end.attempt, v_now)
    on conflict do nothing;
    if not found then
        return false;
    end if;
    -- Who asked it to stop meant the run that has ended.
    delete from scheduler_internal.cancel_requests c
    where c.shard = v_shard and c.execution_id = retry_execution.execution_id;
    if v_end.dedup_key is not null then
        insert into scheduler_internal.dedup_keys (shard, dedup_key, execution_id)
        values (v_shard, v_end.dedup_key, v_end.execution_id)
        on conflict do nothing;
        if not found then
            perform scheduler_internal.refuse('its dedup_key is taken',
                format('Another execution with the key %L has not ended.', v_end.dedup_key),
                'Wait for it, or cancel it first.', '55000');
        end if;
    end if;
    select (v.definition).* into v_definition from scheduler_internal.job_versions v
    where v.shard = v_shard and v.job_id = v_end.job_id and v.version = v_end.job_version;
    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, fire_at, job_id, job_version,
         attempt_base, rank, crashes, origin, exclusive, queue, job_type, handler, dedup_key,
         traceparent, target, payload, policy)
    values
        (v_shard, v_end.attempt, v_end.execution_id, v_now, v_end.created_at, v_end.fire_at,
         v_end.job_id, v_end.job_version, v_end.attempt, v_end.rank, 0, v_end.origin,
         -- It starts at once, but the fires that come meanwhile are held for it.
         v_end.origin = 'f' and v_definition.overlap in ('queue_one', 'cancel_running'),
         v_end.queue, v_end.job_type,
         coalesce(v_end.target, v_definition.target) ->> 'handler',
         v_end.dedup_key, v_end.traceparent, v_end.target, v_end.payload, v_end.policy);
    perform scheduler_internal.audit('retry_execution', execution_id, null);
    perform scheduler_internal.wake_workers(v_shard, true);
    return true;
end;
$$;

comment on function scheduler.retry_execution(uuid) is
    'Runs an ended execution again, with all its attempts anew. False: it waits or runs already';
