create or replace function scheduler_internal.take_dedup_keys(keys text[], ids uuid[])
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
-- Gives each key to the execution whose id stands at its place, unless one has it that has not
-- ended. Returns, by key, who has it. No key may come twice; the shard of an id is that of its key.
--
-- Who wants a key that another transaction is taking waits for that. Keys are taken in one order,
-- so that two batches with keys in common do not wait in a circle; so who holds a key that is not
-- free is read as of the beginning. What is missing then was taken since; if it was given up since
-- as well, it is taken out of that order: should two batches wait for each other by that, the
-- server ends one (40P01).
-- Each look-up is kept apart (offset 0): a join might walk the whole table.
-- Writes: dedup_keys.
declare
    v_holders jsonb := jsonb_build_object();
begin
    while not v_holders ?& keys loop
        with wanted as materialized (
            select k.key, k.id, scheduler.get_shard_id(k.id) as shard
            from unnest(keys, ids) k(key, id)
            where not v_holders ? k.key
        ), held as (
            select w.key, d.execution_id
            from wanted w
            cross join lateral (
                select d.execution_id from scheduler_internal.dedup_keys d
                where d.shard = w.shard and d.dedup_key = w.key
                offset 0
            ) d
        ), taken as (
            insert into scheduler_internal.dedup_keys (shard, dedup_key, execution_id)
            select w.shard, w.key, w.id from wanted w order by w.key
            on conflict do nothing
            returning dedup_key, execution_id
        )
        select v_holders
            || coalesce((select jsonb_object_agg(h.key, h.execution_id) from held h), '{}')
            || coalesce((select jsonb_object_agg(t.dedup_key, t.execution_id) from taken t), '{}')
        into v_holders;
    end loop;
    return v_holders;
end;
$$;

comment on function scheduler_internal.take_dedup_keys(text[], uuid[]) is
    'Takes dedup keys for new executions. Returns {key: id of the execution that has it}';
