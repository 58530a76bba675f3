create or replace function scheduler_internal.expire_due(
    shards integer[],
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
-- Ends what has expired in these shards, up to 100 in each. Not where claims are bounded: dead
-- entries are as many here (beside 360,000 a claim of 500 took 15.5 ms, so it takes 8), and it is
-- left to reap().
-- Locks: expired rows of waiting, SKIP LOCKED. Writes: as expire().
declare
    v_shard integer;
    v_expired uuid[];
begin
    foreach v_shard in array shards loop
        continue when exists (
            select from scheduler_internal.claim_sweeps s
            where s.shard = v_shard and s.next_at is not null);
        v_expired := array(
            select w.execution_id from scheduler_internal.waiting w
            where w.shard = v_shard and w.expires_at <= at and w.attempt = w.attempt_base
            order by w.expires_at  -- so that it is the index of these that is read
            limit 100
            for update skip locked);
        if v_expired <> '{}' then
            perform scheduler_internal.expire(v_shard, v_expired, at);
        end if;
    end loop;
end;
$$;

comment on function scheduler_internal.expire_due(integer[], timestamptz) is
    'Ends executions whose expires_after has run out, shard after shard';
