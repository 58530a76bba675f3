create or replace function scheduler.finish(
    worker_id uuid,
    execution_ids uuid[],
    attempts integer[],
    statuses text[],
    results jsonb[] default null,
    errors jsonb[] default null,
    retry_after interval[] default null
)
returns table (execution_id uuid, attempt integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- Ends attempts, a batch at a time: succeeded, failed or cancelled. A failed attempt with attempts
-- left puts its execution back to wait for the next one: after retry_after where given, else by its
-- backoff; an error that says "retry": false ends it. Results and errors are capped. Returns the
-- attempts that were refused as stale: another attempt owns the execution, or it has ended; the
-- caller discards what it did.
--
-- Locks: running rows, in the order of shards; the schedule rows of exclusive executions before
-- them.
-- Writes: running, history, rollups; waiting for another attempt; dedup_keys.
-- Raises: 22023 when the arrays differ in length or a status is unknown.
declare
    v_now constant timestamptz := scheduler.now();
    v_count constant integer := coalesce(cardinality(execution_ids), 0);
    v_shards integer[];
    v_part record;
    v_ended record;
    v_counts scheduler_internal.rollups[];
begin
    if coalesce(cardinality(attempts), 0) <> v_count
       or coalesce(cardinality(statuses), 0) <> v_count
       or coalesce(cardinality(results), v_count) <> v_count
       or coalesce(cardinality(errors), v_count) <> v_count
       or coalesce(cardinality(retry_after), v_count) <> v_count then
        perform scheduler_internal.refuse(
            'the arrays differ in length', format('There are %s execution_ids.', v_count),
            'Give one attempt, status, result, error and retry_after for each; or null for a '
            'whole array.');
    end if;
    if array_position(execution_ids, null) is not null then
        perform scheduler_internal.refuse('an execution_id is null',
            format('It is number %s.', array_position(execution_ids, null)),
            'Give the ids and attempts that claim returned.');
    end if;
    if not statuses <@ '{succeeded,failed,cancelled}'
       or array_position(statuses, null) is not null then
        perform scheduler_internal.refuse(
            'unknown status', format('The statuses are %s.', left(statuses::text, 200)),
            'Use succeeded, failed or cancelled.');
    end if;
    if v_count = 0 then
        return;
    end if;
    perform scheduler_internal.ensure_history(execution_ids);
    v_shards := array[scheduler.get_shard_id(execution_ids[array_lower(execution_ids, 1)])];
    if v_count > 1 then
        v_shards := array(select distinct scheduler.get_shard_id(i) from unnest(execution_ids) i);
    end if;
    for v_part in
        -- A batch of one shard, as a backlog gives them, is passed on as it is: to aggregate it
        -- would take 1 us of 17 an execution. One of 16 is split once: to filter it sixteen times
        -- took 31 us instead of 25.
        select v_shards[1] as shard, execution_ids, attempts, statuses, results, errors, retry_after
        where cardinality(v_shards) = 1
        union all
        select i.shard, array_agg(i.execution_id), array_agg(i.attempt), array_agg(i.status),
               array_agg(i.result), array_agg(i.error), array_agg(i.retry_after)
        from (
            select scheduler.get_shard_id(u.execution_id) as shard, u.*
            from unnest(execution_ids, attempts, statuses, results, errors, retry_after)
                 u(execution_id, attempt, status, result, error, retry_after)
            where cardinality(v_shards) > 1
        ) i
        group by i.shard
        order by shard
    loop
        v_ended := scheduler_internal.finish_shard(v_part.shard, finish.worker_id,
            v_part.execution_ids, v_part.attempts, v_part.statuses, v_part.results, v_part.errors,
            v_part.retry_after, v_now);
        v_counts := v_counts || v_ended.counts;
        if v_ended.stale_ids is not null then
            return query select * from unnest(v_ended.stale_ids, v_ended.stale_attempts);
        end if;
    end loop;
    perform scheduler_internal.count_ends(v_counts);
end;
$$;

comment on function scheduler.finish is
    'Ends attempts in a batch: succeeded, failed (tried again while attempts are left) or '
    'cancelled. Returns those that were refused as stale';
