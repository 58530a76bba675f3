-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.fire_schedule(integer, uuid, timestamptz, integer);

create or replace function scheduler_internal.fire_schedule(
    shard integer,
    job_id uuid,
    at timestamptz,
    max_fires integer,
    max_counted integer,
    out fired bigint,
    out skipped bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Gives each due instant of one schedule its verdict, oldest first, whatever its policies; at most
-- max_fires of them run now, the rest stay due. Of a run of skipped ones, max_counted are counted.
--
--   d1 ... | window start ........................... newest | at
--   skipped_window   skip: skipped_misfire, but the newest if it is on time
--                    fire_once: coalesced, but the newest
--                    fire_all: fired; with a cap, skipped_misfire but the newest misfire_cap
--
-- Long runs of skipped instants are found at both ends, not walked: an outage of a year costs one
-- row.
-- Locks: the schedule row must be locked by the caller. Writes: waiting, schedules, skipped_fires.
declare
    v_shard constant integer := shard;
    s scheduler_internal.schedules;
    v_upto timestamptz;     -- what is due ends here
    v_newest timestamptz;   -- the newest due instant
    v_first timestamptz;    -- the first that may fire, once the skipped ones are out of the way
    v_instant timestamptz;
    v_following timestamptz;
    v_last_fired timestamptz;
begin
    fired := 0;
    skipped := 0;
    select x.* into s from scheduler_internal.schedules x
    where x.shard = v_shard and x.job_id = fire_schedule.job_id;
    if s.next_fire_at is null or s.next_fire_at > at then
        return;
    end if;
    v_upto := coalesce(least(at, s.ends_at), at);
    -- greatest(): after an update of the time zones the instant that is due may be none any more.
    v_newest := greatest(s.next_fire_at,
        scheduler_internal.last_instant(s.spec, s.timezone, v_upto));
    v_first := s.next_fire_at;

    if s.misfire <> 'skip' and v_first < at - s.misfire_window then
        v_instant := scheduler_internal.next_instant(s.spec, s.timezone,
            at - s.misfire_window - interval '1 microsecond');
        skipped := skipped + scheduler_internal.skip_fires(
            s, v_first, v_instant, 'skipped_window', at, max_counted);
        v_first := v_instant;
    end if;

    if s.misfire = 'skip' then
        v_instant := case
            when v_newest < at - coalesce(s.misfire_window, scheduler_internal.misfire_grace())
            then scheduler_internal.next_instant(s.spec, s.timezone, v_newest)
            else v_newest end;
        skipped := skipped + scheduler_internal.skip_fires(
            s, v_first, v_instant, 'skipped_misfire', at, max_counted);
        v_first := v_instant;
    elsif s.misfire = 'fire_once' and v_first < v_newest then
        skipped := skipped + scheduler_internal.skip_fires(
            s, v_first, v_newest, 'coalesced', at, max_counted);
        v_first := v_newest;
    elsif s.misfire = 'fire_all' and s.misfire_cap is not null and v_first < v_newest then
        v_instant := v_newest;
        for i in 2..s.misfire_cap loop
            exit when v_instant <= v_first;
            v_instant := scheduler_internal.last_instant(s.spec, s.timezone,
                v_instant - interval '1 microsecond');
        end loop;
        skipped := skipped + scheduler_internal.skip_fires(
            s, v_first, v_instant, 'skipped_misfire', at, max_counted);
        v_first := greatest(v_first, v_instant);
    end if;

    while v_first <= v_upto and fired < max_fires loop
        v_following := scheduler_internal.next_instant(s.spec, s.timezone, v_first);
        if scheduler_internal.fire_or_skip(s, v_first, v_following, at) then
            fired := fired + 1;
            v_last_fired := v_first;
        else
            -- What is in the way of this instant is in the way of all that are due now.
            skipped := skipped + scheduler_internal.skip_fires(
                s, v_first, null, 'skipped_overlap', at, max_counted);
            v_following := scheduler_internal.next_instant(s.spec, s.timezone, v_newest);
        end if;
        v_first := v_following;
    end loop;

    update scheduler_internal.schedules x
    set next_fire_at = case when v_first <= coalesce(s.ends_at, v_first) then v_first end,
        last_fire_at = coalesce(v_last_fired, x.last_fire_at)
    where x.shard = v_shard and x.job_id = fire_schedule.job_id;
end;
$$;

comment on function scheduler_internal.fire_schedule(
    integer, uuid, timestamptz, integer, integer) is
    'The verdicts of all due instants of one schedule, under its misfire and overlap policies';
