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
-- would else last until the clock has come again to where it was. A beat that is noted while reap()
-- begins is a little ahead of it, and not meant.
-- Locks, Writes: rows of workers, SKIP LOCKED.
begin
    update scheduler_internal.workers w
    set last_beat_at = at, next_look_at = null
    where w.ctid = any (array(
        select x.ctid from scheduler_internal.workers x
        where x.last_beat_at > at + interval '1 second'
        for update skip locked));
end;
$$;

comment on function scheduler_internal.set_back(timestamptz) is
    'reap(): what was noted in a future that a clock set back has yet to reach, counts from now';
