create or replace function scheduler_internal.release_held(
    shard integer,
    job_ids uuid[],
    at timestamptz
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
-- Lets the held fire of each of these jobs go, unless something of the job still is in its way, or
-- somebody is about to cancel it: he may be long about it, so that is left to the next reap(). One
-- that is to be cancelled is left to settle_cancels(): the fire that replaces it is held beside it.
-- Locks: held rows, SKIP LOCKED. Writes: waiting. Returns how many were let go.
declare
    v_count bigint;
begin
    update scheduler_internal.waiting u
    set run_at = at
    where u.shard = release_held.shard and u.execution_id = any (array(
        select w.execution_id from scheduler_internal.waiting w
        where w.shard = release_held.shard and w.job_id = any (job_ids) and w.fire_at is not null
          and w.origin = 'f' and w.run_at = 'infinity'
          and not exists (
              select from scheduler_internal.running r
              where r.shard = release_held.shard and r.job_id = w.job_id and r.fire_at is not null
                and r.origin = 'f')
          and (  -- from the newest on, as in is_alive()
              select o.fire_at from scheduler_internal.waiting o
              where o.shard = release_held.shard and o.job_id = w.job_id and o.fire_at is not null
                and o.origin = 'f' and o.run_at < 'infinity'
              order by o.fire_at desc
              limit 1) is null
          and not exists (
              select from scheduler_internal.cancel_requests c
              where c.shard = release_held.shard and c.execution_id = w.execution_id)
        for update of w skip locked));
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function scheduler_internal.release_held(integer, uuid[], timestamptz) is
    'Lets fires go that waited for the end of an earlier one (overlap queue_one and '
    'cancel_running)';
