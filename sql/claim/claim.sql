create or replace function scheduler.claim(
    worker_id uuid,
    max_executions integer default 1,
    queues text[] default null,
    job_types text[] default null,
    handlers text[] default null,
    shard integer default null
)
returns table (
    execution_id uuid,
    attempt integer,
    job_id uuid,
    job_name text,
    job_type text,
    queue text,
    target jsonb,
    payload jsonb,
    fire_at timestamptz,
    run_at timestamptz,
    started_at timestamptz,
    timeout interval,
    max_attempts integer,
    traceparent text,
    token uuid
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Hands ready executions to a worker: of each queue the highest priority first, then the longest
-- waiting; which queue comes first is left to chance. From here on the attempt number is the fence:
-- whoever names an older one is refused.
--
-- One shard per statement, so that a claim locks the tables of one shard and not of sixteen.
-- Without a shard those with something ready are tried in a random rotation, until max_executions
-- are found; and what has expired in those that were visited is ended.
--
-- Locks: the claimed rows, SKIP LOCKED: it never waits. Writes: waiting, running; history for
-- expired ones.
-- Raises: JB001 when the worker is not registered or its lease has run out; 22023 for a bad
-- argument.
declare
    v_now constant timestamptz := scheduler.now();
    v_left integer := max_executions;
    v_shards integer[];
    v_shard integer;
    v_count integer;
    v_visited integer[] := array[]::integer[];
begin
    if max_executions is null or max_executions not between 1 and 10000 then
        perform scheduler_internal.refuse('max_executions is out of range', 'It is 1 to 10000.',
            'Ask for as many as the worker can start at once.');
    end if;
    if shard is not null then
        perform scheduler_internal.check_shard(shard);
    end if;
    perform scheduler_internal.check_worker(worker_id, v_now);
    if shard is null then
        v_shards := scheduler_internal.ready_shards(queues, v_now);
    else
        v_shards := array[shard];
    end if;
    foreach v_shard in array v_shards loop
        return query
        select * from scheduler_internal.claim_shard(
            v_shard, worker_id, v_left, queues, job_types, handlers, v_now);
        get diagnostics v_count = row_count;
        v_left := v_left - v_count;
        v_visited := v_visited || v_shard;
        exit when v_left <= 0;
    end loop;
    -- Who is told a shard is to be quick, and this would be a twelfth; looks at all come soon.
    if shard is null and v_visited <> '{}' then
        perform scheduler_internal.expire_due(v_visited, v_now);
    end if;
end;
$$;

comment on function scheduler.claim(uuid, integer, text[], text[], text[], integer) is
    'Hands up to max_executions ready executions to a worker, of these queues, job types and '
    'handlers (null: any). The worker must have sent a heartbeat within its lease';
