create or replace function scheduler.reap()
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set lock_timeout = '50ms'
as $$
-- Takes back what silent workers held. A crash is counted apart from a failure and uses no attempt;
-- after three an execution is held to be what kills workers, and fails. Also ends what expired, and
-- lets go fires that are held for nothing (their predecessor ended in the moment that they were
-- held). Every ticker calls it twice a second; one works. The others, who do not get the lock, do
-- only what has been left lying for two seconds: any login may take such a lock and keep it. What
-- is from a time to come, as where the clock was set back, has been left lying too.
-- Returns how many executions were taken back.
--
-- A shard that makes it wait is left for the next call, so that the others are not held up.
-- Locks: its advisory lock; as set_back(); running rows, SKIP LOCKED. Writes: running, waiting,
-- history, rollups; every five seconds the mark that a ticker came by; as set_back().
declare
    v_now constant timestamptz := scheduler.now();
    v_due constant timestamptz := v_now - case
        when pg_try_advisory_xact_lock(1885828201, -2) then interval '0'
        else interval '2 seconds' end;
    v_lost integer[];
    v_shards integer[];
    v_shard integer;
    v_count bigint := 0;
begin
    perform scheduler_internal.mark('ticker', v_now);
    perform scheduler_internal.set_back(v_now);
    v_lost := scheduler_internal.find_lost(v_due);
    -- One look at all shards, planned once a session; nearly always there is nothing in any: 0.4 ms
    -- instead of 9 for a look, and a plan, shard by shard.
    v_shards := array(
        select unnest(v_lost) as shard
        union
        select w.shard from scheduler_internal.waiting w
        where w.expires_at <= v_due and w.attempt = w.attempt_base
        union
        select w.shard from scheduler_internal.waiting w
        where w.run_at = 'infinity' and not (w.created_at > v_due and w.created_at <= v_now)
        union
        select c.shard from scheduler_internal.cancel_requests c
        where not (c.requested_at > v_due and c.requested_at <= v_now)
          and not exists (
              select from scheduler_internal.running r
              where r.shard = c.shard and r.execution_id = c.execution_id)
        order by 1);
    foreach v_shard in array v_shards loop
        begin
            v_count := v_count + scheduler_internal.reap_shard(
                v_shard, v_now, v_shard = any (v_lost));
        exception when lock_not_available then
            null;
        end;
    end loop;
    return v_count;
end;
$$;

comment on function scheduler.reap() is
    'Takes back what silent workers held, ends what expired. Called twice a second by the tickers. '
    'Returns how many executions were taken back';
