create or replace function scheduler.enqueue_many(items jsonb)
returns setof uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- enqueue() for thousands in one call, all or nothing; ids come in the order of the items. Each
-- item is an object whose keys are the arguments of enqueue(). The items of a call share one shard,
-- so that a batch is written, claimed and finished as a batch; those with a dedup_key go one by
-- one.
-- Writes: waiting, dedup_keys.
-- Raises: 22023 for the first item that is wrong, with its position.
declare
    v_now constant timestamptz := scheduler.now();
    v_shard constant integer := floor(random() * 16)::integer;
    -- One random number for the ids of all, which ascend: one for each took a tenth of the call,
    -- and in the indexes a fourteenth of finish(). Halved, so that no position leads beyond it.
    v_seed constant bigint := uuid_hash_extended(gen_random_uuid(), 0) >> 1;
    v_traceparent constant text := scheduler_internal.setting('traceparent', null);
    v_ids uuid[];
    v_is_ready boolean;
begin
    perform scheduler_internal.check_items(items);
    perform scheduler_internal.check_traceparent(v_traceparent);
    if jsonb_path_exists(items, '$[*] ? (@.dedup_key != null)') then
        -- In the order of the keys, so that two batches with keys in common wait for each other,
        -- but not in a circle.
        return query
        with keyed as materialized (
            select i.* from scheduler_internal.read_items(items) i order by i.dedup_key, i.position
        ), born as materialized (
            select k.position, scheduler.enqueue(
                k.job_type, k.target, k.payload, coalesce(k.queue, 'default'),
                coalesce(k.priority, 0), k.run_at, k.dedup_key, coalesce(k.max_attempts, 3),
                coalesce(k.backoff, 'exponential'), coalesce(k.backoff_base, '10 seconds'),
                coalesce(k.backoff_max, '1 hour'), coalesce(k.timeout, '1 hour'), k.expires_after,
                k.traceparent) as execution_id
            from keyed k
        )
        select b.execution_id from born b order by b.position;
        return;
    end if;

    with born as materialized (
        select i.*, r.starts_at, scheduler_internal.make_id(
                   v_shard, r.starts_at, v_seed + i.position) as execution_id
        from scheduler_internal.read_items(items) i
        cross join lateral (select greatest(i.run_at, v_now) as starts_at) r
    ), inserted as (
        insert into scheduler_internal.waiting
            (shard, attempt, execution_id, run_at, created_at, expires_at, attempt_base, rank,
             crashes, origin, exclusive, queue, job_type, handler, traceparent, target, payload,
             policy)
        select v_shard, 0, b.execution_id, b.starts_at, v_now, b.starts_at + b.expires_after, 0,
               - coalesce(b.priority, 0), 0, 'e', false, coalesce(b.queue, 'default'), b.job_type,
               b.target ->> 'handler', coalesce(b.traceparent, v_traceparent), b.target, b.payload,
               case when num_nonnulls(b.max_attempts, b.backoff, b.backoff_base, b.backoff_max,
                                      b.timeout) > 0
                    then scheduler_internal.pack_policy(
                        coalesce(b.max_attempts, 3), coalesce(b.backoff, 'exponential'),
                        coalesce(b.backoff_base, '10 seconds'), coalesce(b.backoff_max, '1 hour'),
                        coalesce(b.timeout, '1 hour')) end
        from born b
    )
    select array_agg(b.execution_id order by b.position), bool_or(b.starts_at <= v_now)
    into v_ids, v_is_ready
    from born b;
    perform scheduler_internal.wake_workers(v_shard, v_is_ready);
    return query select unnest(v_ids);
end;
$$;

comment on function scheduler.enqueue_many(jsonb) is
    'enqueue() for up to 10,000 items in one call: a JSON array of objects with the keys of its '
    'arguments. All or nothing; returns the ids in the order of the items';
