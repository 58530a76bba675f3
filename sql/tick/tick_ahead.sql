create or replace function scheduler.tick_ahead(max_fires integer default 500)
returns bigint
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
-- Where a herd is coming (a hundred schedules of a shard within four seconds) makes its fires
-- before their instant, so that at the instant they need only be claimed: 50,000 of midnight take
-- the ticks 1.6 s. Of one such shard, by chance, at most max_fires; call it again while it makes
-- any.
--
-- Nothing starts earlier for that: a fire waits for its instant as one with a jitter does. Only
-- what nothing stands in the way of is made ahead; an overlap, a missed instant is decided when
-- due, by tick_shard(); and so is one of the herd, for the tick that fires it wakes the workers.
-- Who changes a job before the instant finds it as if its fire had not been made:
-- take_back_fires().
-- Locks: schedule rows, SKIP LOCKED. Writes: schedules, waiting. Returns how many were made.
declare
    v_now constant timestamptz := scheduler.now();
    v_until constant timestamptz := v_now + interval '4 seconds';
    v_first constant integer := floor(random() * 16)::integer;
    v_shard integer;
    v_made bigint := 0;
begin
    for v_shard in select (g.n + v_first) % 16 from generate_series(0, 15) g(n) loop
        perform from scheduler_internal.schedules s
        where s.shard = v_shard and s.next_fire_at > v_now and s.next_fire_at <= v_until
          and (s.last_fire_at > v_now) is not true
        order by s.next_fire_at
        limit 1 offset 99;
        continue when not found;
        begin
            v_made := scheduler_internal.fire_punctual(v_shard, v_now, v_until, max_fires);
        exception
            when data_exception or integrity_constraint_violation or case_not_found
                 or lock_not_available then
                null;  -- one of them is broken: when it is due, it is found
        end;
        exit when v_made > 0;
    end loop;
    return v_made;
end;
$$;

comment on function scheduler.tick_ahead(integer) is
    'Makes the fires of a herd up to four seconds before their instant, at which they start. '
    'Returns how many';
