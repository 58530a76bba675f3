create or replace function scheduler_internal.set_back(at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = on
as $$
-- Where the clock was set back: the leases of workers begin now, those of dead ones too, which
-- would else last until the clock has come again to where it was. So would the bounds of claims,
-- which lie in the future: a sweep is due. A beat that is noted while reap() begins is a little
-- ahead of it, a sweep up to ten seconds: they are not meant.
-- Locks: rows of workers and claim_sweeps, SKIP LOCKED. Writes: those.
begin
    update scheduler_internal.workers w
    set last_beat_at = at, next_look_at = null
    where w.ctid = any (array(
        select x.ctid from scheduler_internal.workers x
        where x.last_beat_at > at + interval '1 second'
        for update skip locked));
    update scheduler_internal.claim_sweeps s
    set next_at = clock_timestamp()
    where s.ctid = any (array(
        select x.ctid from scheduler_internal.claim_sweeps x
        where x.next_at > clock_timestamp() + interval '11 seconds'
        for update skip locked));
end;
$$;

comment on function scheduler_internal.set_back(timestamptz) is
    'reap(): what was noted in a future that a clock set back has yet to reach, counts from now';
