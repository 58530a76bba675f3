create or replace function scheduler.heartbeat(
    worker_id uuid,
    node_id text default null,
    queues text[] default null,
    job_types text[] default null,
    concurrency integer default null,
    lease interval default '10 seconds',
    draining boolean default false,
    execution_ids uuid[] default null,
    attempts integer[] default null
)
returns table (execution_id uuid, attempt integer, reason text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Registers the worker, or renews its lease and with it that of all that it runs: one row, one
-- write. The caller names what it thinks that it runs, and is told what to stop: cancelled; timeout
-- (its deadline has passed); lost (its lease ran out meanwhile, another attempt owns it: discard).
-- What it was given longer than a lease ago and does not name it never heard of: the answer to its
-- claim was lost on the way. That is given back, unless it names nothing at all (null).
-- Locks: the rows given back, SKIP LOCKED. Writes: workers; running, waiting for what is given
-- back. Raises: 22023 for a lease out of range, or executions that are named without their
-- attempts.
declare
    v_now constant timestamptz := scheduler.now();
    v_next_look_at timestamptz;
begin
    if worker_id is null then
        perform scheduler_internal.refuse('worker_id is null', 'It names this worker process.',
            'Make a random uuid at each start of a worker.');
    end if;
    if lease is null or lease not between interval '1 second' and interval '1 hour' then
        perform scheduler_internal.refuse(
            format('lease %s is out of range', coalesce(lease::text, 'null')),
            'It is 1 second to 1 hour.', 'Use about three times the interval of the heartbeats.');
    end if;
    perform scheduler_internal.check_held(execution_ids, attempts);
    select w.next_look_at into v_next_look_at
    from scheduler_internal.workers w
    where w.worker_id = heartbeat.worker_id;
    if execution_ids is not null and v_next_look_at > clock_timestamp() is not true then
        v_next_look_at := scheduler_internal.give_back_unknown(
            worker_id, v_now - lease, execution_ids, attempts);
    end if;
    insert into scheduler_internal.workers as w
        (worker_id, node_id, queues, job_types, concurrency, lease, started_at, last_beat_at,
         draining, next_look_at)
    values (heartbeat.worker_id, coalesce(heartbeat.node_id, 'unnamed'), heartbeat.queues,
            heartbeat.job_types, heartbeat.concurrency, heartbeat.lease, v_now, v_now,
            coalesce(heartbeat.draining, false), v_next_look_at)
    on conflict on constraint workers_pkey do update
    set last_beat_at = excluded.last_beat_at, lease = excluded.lease, draining = excluded.draining,
        next_look_at = excluded.next_look_at, stopped_at = null;

    return query
    select i.execution_id, i.attempt,
           case when r.execution_id is null then 'lost'
                when c.is_requested then 'cancelled'
                else 'timeout' end
    from unnest(execution_ids, attempts) i(execution_id, attempt)
    left join scheduler_internal.running r
      on r.worker_id = heartbeat.worker_id and r.execution_id = i.execution_id
     and r.attempt = i.attempt
    cross join lateral (
        select exists (select from scheduler_internal.cancel_requests x
                       where x.execution_id = i.execution_id) as is_requested
    ) c
    where r.execution_id is null or c.is_requested or r.deadline <= v_now;
end;
$$;

comment on function scheduler.heartbeat is
    'Registers a worker or renews its lease. Returns which of the named executions it must stop, '
    'and why: cancelled, timeout or lost';
