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
-- ended. Returns, by key, who has it now. No key may come twice; the shard of an id is that of its
-- key.
--
-- Who wants a key that another transaction is taking waits for that. Keys are taken in one order,
-- so that two batches with keys in common do not wait in a circle. A key that its holder gave up
-- between the two statements is taken out of that order: should two batches come to wait for each
-- other by that, the server ends one (40P01).
-- Writes: dedup_keys.
declare
    v_holders jsonb := jsonb_build_object();
begin
    loop
        with taken as (
            insert into scheduler_internal.dedup_keys (shard, dedup_key, execution_id)
            select scheduler.get_shard_id(k.id), k.key, k.id
            from unnest(keys, ids) k(key, id)
            where not v_holders ? k.key
            order by k.key
            on conflict do nothing
            returning dedup_key, execution_id
        )
        select v_holders || coalesce(jsonb_object_agg(t.dedup_key, t.execution_id), '{}')
        into v_holders
        from taken t;
        exit when v_holders ?& keys;

        select v_holders || coalesce(jsonb_object_agg(d.dedup_key, d.execution_id), '{}')
        into v_holders
        from unnest(keys, ids) k(key, id)
        join scheduler_internal.dedup_keys d
          on d.shard = scheduler.get_shard_id(k.id) and d.dedup_key = k.key
        where not v_holders ? k.key;
        exit when v_holders ?& keys;
    end loop;
    return v_holders;
end;
$$;

comment on function scheduler_internal.take_dedup_keys(text[], uuid[]) is
    'Takes dedup keys for new executions. Returns {key: id of the execution that has it}';
