create or replace function scheduler_internal.resolve_near_change(
    timezone text,
    local_time timestamp,
    after timestamptz,
    flags integer,
    out instant timestamptz,
    out resume_second bigint
)
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of next_instant: what a local time means within 24 hours of a change of the zone's offset,
-- where it may not exist or exist twice. Either the instant at which the schedule runs, or the
-- local second from which the search goes on.
declare
    v_later timestamptz := local_time at time zone timezone;
    v_earlier timestamptz;
    v_change timestamptz;
    v_shift double precision := date_part('epoch', (v_later at time zone timezone) - local_time);
begin
    if v_shift > 0 then
        -- It does not exist: the first instant after the gap, or no run.
        v_change := scheduler_internal.offset_change(
            timezone, v_later - make_interval(secs => v_shift), v_later);
        if flags & 16 <> 0 then
            instant := v_change;
        else
            resume_second := date_part('epoch', v_change at time zone timezone);
        end if;
        return;
    end if;

    v_shift := date_part('epoch', ((v_later - interval '24 hours') at time zone timezone)
        + interval '24 hours' - local_time);
    v_earlier := v_later - make_interval(secs => v_shift);
    if v_shift <= 0 or v_earlier at time zone timezone <> local_time then
        -- It exists once.
        instant := v_later;
    elsif v_earlier > after then
        instant := v_earlier;
    elsif flags & 4 <> 0 then
        instant := v_later;
    else
        -- It ran at its first reading, like all others up to the end of the repeated period.
        v_change := scheduler_internal.offset_change(timezone, v_earlier, v_later);
        resume_second := date_part('epoch',
            (v_change - interval '1 second') at time zone timezone) + 1;
    end if;
end
$$;
