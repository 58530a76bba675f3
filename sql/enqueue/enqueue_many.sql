create or replace function scheduler.enqueue_many(items jsonb)
returns setof uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- enqueue() for thousands in one call, all or nothing; ids come in the order of the items. Each
-- item is an object whose keys are the arguments of enqueue(). The items of a call share one shard,
-- so that a batch is written, claimed and finished as a batch; the key of those with a dedup_key
-- decides on theirs.
-- Writes: waiting, dedup_keys.
-- Raises: 22023 for the first item that is wrong, with its position.
declare
    v_now constant timestamptz := scheduler.now();
    v_shard constant integer := floor(random() * 16)::integer;
    -- One random number for the ids of all, which ascend: one for each took a tenth of the call,
    -- and in the indexes a fourteenth of finish(). Halved, so that no position leads beyond it.
    v_seed constant bigint := uuid_hash_extended(gen_random_uuid(), 0) >> 1;
    v_traceparent constant text := scheduler_internal.setting('traceparent', null);
    v_keys text[];
    v_key_ids uuid[];
    v_holders jsonb;  -- by key
    v_ids uuid[];
    v_ready_shards integer[];
begin
    perform scheduler_internal.check_items(items);
    perform scheduler_internal.check_traceparent(v_traceparent);
    if jsonb_path_exists(items, '$[*].dedup_key') then
        -- The first item with a key is the one to take it.
        select array_agg(k.dedup_key), array_agg(k.execution_id) into v_keys, v_key_ids
        from (
            select distinct on (i.dedup_key) i.dedup_key, scheduler_internal.make_id(
                       scheduler_internal.shard_of_key(i.dedup_key), greatest(i.run_at, v_now),
                       v_seed + i.position) as execution_id
            from scheduler_internal.read_items(items) i
            where i.dedup_key is not null
            order by i.dedup_key, i.position
        ) k;
        if v_keys is not null then
            v_holders := scheduler_internal.take_dedup_keys(v_keys, v_key_ids);
        end if;
    end if;

    with born as materialized (
        select i.*, r.shard, r.starts_at, r.execution_id,
               coalesce((v_holders ->> i.dedup_key)::uuid, r.execution_id) as holder
        from scheduler_internal.read_items(items) i
        cross join lateral (
            select s.shard, s.starts_at, scheduler_internal.make_id(
                       s.shard, s.starts_at, v_seed + i.position) as execution_id
            from (
                select coalesce(scheduler_internal.shard_of_key(i.dedup_key), v_shard) as shard,
                       greatest(i.run_at, v_now) as starts_at
            ) s
            offset 0  -- each once
        ) r
    ), inserted as (
        insert into scheduler_internal.waiting
            (shard, attempt, execution_id, run_at, created_at, expires_at, attempt_base, rank,
             crashes, origin, exclusive, queue, job_type, handler, traceparent, target, payload,
             dedup_key, policy)
        select b.shard, 0, b.execution_id, b.starts_at, v_now, b.starts_at + b.expires_after, 0,
               - coalesce(b.priority, 0), 0, 'e', false, coalesce(b.queue, 'default'), b.job_type,
               b.target ->> 'handler', coalesce(b.traceparent, v_traceparent), b.target, b.payload,
               b.dedup_key,
               case when num_nonnulls(b.max_attempts, b.backoff, b.backoff_base, b.backoff_max,
                                      b.timeout) > 0
                    then scheduler_internal.pack_policy(
                        coalesce(b.max_attempts, 3), coalesce(b.backoff, 'exponential'),
                        coalesce(b.backoff_base, '10 seconds'), coalesce(b.backoff_max, '1 hour'),
                        coalesce(b.timeout, '1 hour')) end
        from born b
        where b.holder = b.execution_id
    )
    select array_agg(b.holder order by b.position),
           array_agg(distinct b.shard) filter (
               where b.holder = b.execution_id and b.starts_at <= v_now)
    into v_ids, v_ready_shards
    from born b;
    perform scheduler_internal.wake_workers(s, true) from unnest(v_ready_shards) s;
    return query select unnest(v_ids);
end;
$$;

comment on function scheduler.enqueue_many(jsonb) is
    'enqueue() for up to 10,000 items in one call: a JSON array of objects with the keys of its '
    'arguments. All or nothing; returns the ids in the order of the items';
