create or replace function scheduler_internal.note_walk(
    lane scheduler_internal.claim_bounds,
    walked bigint,
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
-- What a bounded claim has learned of a lane, for the next ones: after a far walk they begin where
-- this one found something. As note_sweep(), the bound is a second before the oldest row that
-- waits, whoever may claim it.
-- Locks, Writes: claim_bounds, SKIP LOCKED.
begin
    if not scheduler_internal.is_far(walked) then
        return;
    end if;
    update scheduler_internal.claim_bounds b
    set from_run_at = coalesce((
        select least(w.run_at, at) from scheduler_internal.waiting w
        where w.shard = lane.shard and w.queue = lane.queue and w.rank = lane.rank
          and w.run_at >= lane.from_run_at
        order by w.run_at
        limit 1), at) - interval '1 second'
    where b.ctid = any (array(
        select x.ctid from scheduler_internal.claim_bounds x
        where x.shard = lane.shard and x.queue = lane.queue and x.rank = lane.rank
        for update skip locked));
end;
$$;

comment on function scheduler_internal.note_walk(
    scheduler_internal.claim_bounds, bigint, timestamptz) is
    'Has later claims begin behind the dead entries that this one walked over in a lane';
