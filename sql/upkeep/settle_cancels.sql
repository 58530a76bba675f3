create or replace function scheduler_internal.settle_cancels(shard integer, at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Requests to stop that came too late for the attempt that they meant: it had failed before the
-- caller's commit, and its execution waits for the next one: that ends here. Or it had ended
-- altogether: the request is dropped, so that it does not meet a later retry by hand.
-- Locks: waiting rows and requests, SKIP LOCKED. Writes: cancel_requests; waiting, history,
-- dedup_keys, rollups.
declare
    v_ids uuid[];
    v_job_ids uuid[];
begin
    select array_agg(x.execution_id), array_agg(x.job_id) filter (where x.exclusive)
    into v_ids, v_job_ids
    from (
        select w.execution_id, w.job_id, w.exclusive from scheduler_internal.waiting w
        where w.shard = settle_cancels.shard and w.execution_id = any (array(
            select c.execution_id from scheduler_internal.cancel_requests c
            where c.shard = settle_cancels.shard))
        for update skip locked
    ) x;
    if v_ids is not null then
        perform scheduler_internal.end_waiting(
            shard, v_ids, 'cancelled', 'cancelled before its next attempt', at);
        perform scheduler_internal.release_held(shard, v_job_ids, at);
    end if;
    delete from scheduler_internal.cancel_requests c
    where c.shard = settle_cancels.shard and c.request_id = any (array(
        select x.request_id from scheduler_internal.cancel_requests x
        where x.shard = settle_cancels.shard
          and not exists (select from scheduler_internal.running r
                          where r.shard = settle_cancels.shard and r.execution_id = x.execution_id)
          and not exists (select from scheduler_internal.waiting w
                          where w.shard = settle_cancels.shard and w.execution_id = x.execution_id)
        for update of x skip locked));
end;
$$;

comment on function scheduler_internal.settle_cancels(integer, timestamptz) is
    'Gives effect to cancel requests that an attempt''s end has overtaken';
