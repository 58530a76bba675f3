create or replace function scheduler.tick_shard(
    shard integer,
    max_fires integer default 1000,
    out fired bigint,
    out skipped bigint,
    out next_due_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set lock_timeout = '50ms'
as $$
-- The ticker's unit of work: gives every due instant of a shard's schedules its verdict, in one
-- short transaction of at most max_fires executions. Call it again while next_due_at has passed.
-- After a second, by the real clock, it ends with the schedule at hand: what a long outage missed
-- takes a millisecond a schedule, on a busy machine more, and a caller who has no time for a
-- thousand of them would have all of it undone, and again with the next call.
--
-- Why a fire can be neither lost nor doubled: the schedule row is locked, the execution inserted
-- and the next instant set in one transaction; the next instant follows from the last nominal one,
-- never from the clock; and (job, fire time) is unique. The advisory lock only spares a second
-- ticker the work: a loser returns zeros, unless something is two seconds late, for any login may
-- take such a lock and keep it. With the lock off (setting scheduler.tick_lock = off) the result is
-- the same.
--
-- In UTC: a day of misfire_window or expires_after must not depend on who ticks.
--
-- Locks: the advisory lock of the shard; due schedule rows, SKIP LOCKED: it never waits for one.
-- Waiting rows where overlap is cancel_running, SKIP LOCKED too. lock_timeout is for what nobody
-- has thought of: a job that makes us wait stays due for the next tick.
-- Writes: schedules, waiting, skipped_fires; and where overlap is cancel_running, as
-- cancel_fires().
-- Raises: 22023 for a shard that does not exist. A broken schedule is set aside and does not stop
-- the rest.
declare
    v_shard constant integer := scheduler_internal.check_shard(shard);
    v_now constant timestamptz := scheduler.now();
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_job_id uuid;
    v_verdicts record;
begin
    fired := 0;
    skipped := 0;
    if scheduler_internal.setting('tick_lock', 'on') <> 'off'
       and not pg_try_advisory_xact_lock(1885828201, v_shard)  -- 'pgti'
       and not exists (
           select from scheduler_internal.schedules s
           where s.shard = v_shard and s.next_fire_at <= v_now - interval '2 seconds') then
        return;
    end if;
    if max_fires is null or max_fires < 1 then
        perform scheduler_internal.refuse(
            'max_fires must be positive', 'It bounds the work of one call.',
            'Leave it out for 1000.');
    end if;

    -- The many schedules with one instant due and nothing in its way: all at once.
    begin
        fired := scheduler_internal.fire_punctual(v_shard, v_now, v_now, max_fires);
    exception
        when data_exception or integrity_constraint_violation or case_not_found then
            null;  -- one of them is broken: below, one by one, it is found
        when lock_not_available then
            null;
    end;

    -- What is left: missed instants, overlaps, broken rows.
    for v_job_id in
        select s.job_id from scheduler_internal.schedules s
        where s.shard = v_shard and s.next_fire_at <= v_now
        order by s.next_fire_at
        limit max_fires - fired
        for update skip locked
    loop
        begin
            v_verdicts := scheduler_internal.fire_schedule(
                v_shard, v_job_id, v_now, (max_fires - fired)::integer,
                -- To count a week of minutes takes 31 ms: not of each of many.
                greatest(1, 10000 - skipped)::integer);
            fired := fired + v_verdicts.fired;
            skipped := skipped + v_verdicts.skipped;
        exception
            when data_exception or integrity_constraint_violation or case_not_found then
                perform scheduler_internal.set_aside(v_shard, v_job_id, sqlerrm);
            when lock_not_available then
                null;
        end;
        exit when fired >= max_fires or clock_timestamp() > v_until;
    end loop;
    -- Also where all was skipped: the rest of its herd may have been made ahead.
    perform scheduler_internal.wake_workers(v_shard, fired + skipped > 0);

    select s.next_fire_at into next_due_at from scheduler_internal.schedules s
    where s.shard = v_shard and s.next_fire_at is not null
    order by s.next_fire_at
    limit 1;
end;
$$;

comment on function scheduler.tick_shard(integer, integer) is
    'Turns the due fires of one shard into executions. Returns how many fired, how many were '
    'skipped (a run of instants is counted until there are 10,000 in all, then as one), and when '
    'the next is due. Zeros when another ticker is at it and nothing is late';
