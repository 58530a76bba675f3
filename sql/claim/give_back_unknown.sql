create or replace function scheduler_internal.give_back_unknown(
    worker_id uuid,
    started_before timestamptz,
    execution_ids uuid[],
    attempts integer[]
)
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Gives back what a worker was given before a time and does not name. Returns when to look again,
-- by the real clock; null: at once. It reads all of running, which is small, but for dead rows that
-- a transaction held open keeps there: where that takes long, so seldom that it takes a twentieth
-- of the time.
-- Locks: the rows given back, SKIP LOCKED. Writes: as give_back().
declare
    v_began_at constant timestamptz := clock_timestamp();
    v_took interval;
    v_unknown record;
begin
    for v_unknown in
        select r.shard, array_agg(r.execution_id) as execution_ids
        from (
            select x.shard, x.execution_id from scheduler_internal.running x
            where x.worker_id = give_back_unknown.worker_id and x.started_at < started_before
              and ((x.execution_id, x.attempt) in (  -- "is not true" keeps it a hashed set
                  select i.execution_id, i.attempt
                  from unnest(execution_ids, attempts) i(execution_id, attempt))) is not true
            for update skip locked
        ) r
        group by r.shard
        order by r.shard
    loop
        perform scheduler_internal.give_back(v_unknown.shard, give_back_unknown.worker_id,
            v_unknown.execution_ids);
    end loop;
    v_took := clock_timestamp() - v_began_at;
    return case when v_took > interval '100 milliseconds' then clock_timestamp() + 20 * v_took end;
end;
$$;

comment on function scheduler_internal.give_back_unknown(uuid, timestamptz, uuid[], integer[]) is
    'Returns executions to the waiting ones that a worker was given and never heard of';
