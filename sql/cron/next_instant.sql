create or replace function scheduler_internal.next_instant(
    spec scheduler_internal.schedule_spec,
    timezone text,
    after timestamptz
) returns timestamptz
language plpgsql stable parallel safe
as $$
-- The first instant strictly after a given one at which a compiled schedule runs; null when it
-- never runs again. Nothing is scheduled outside the years 1 to 9998.
--
-- The search runs on local seconds, counted from 1970-01-01 00:00 local: the next time of day,
-- then the next day that matches, then the instant at which the zone shows that local time. Only
-- one property of PostgreSQL's zone arithmetic is relied on: of two readings of a local time
-- `at time zone` gives the later, and a time that does not exist it shifts forward over the gap.
-- All offset changes since 1970 lie at least 48 hours apart and no repeated period is longer
-- than seven hours, so a probe 24 hours earlier shows whether a local time may be repeated.
--
-- The bits of flags are listed in compile_schedule. No `set search_path` here and in the functions
-- called for every candidate: it costs 1.2 us a call, a third of the whole (440,000 calls/s of
-- '* * * * *' in UTC become 290,000). Every caller has set it, and must: a call under another
-- search_path than the last plans everything anew (300 us).
declare
    v_flags integer := spec.flags;
    v_first_time integer := spec.tod0;
    v_is_utc boolean := timezone = 'UTC';
    v_local timestamp;
    v_second bigint;                -- the candidate, a local second
    v_day integer;                  -- its day, counted from 1970-01-01
    v_time integer;                 -- its second of the day
    v_match integer;
    v_instant timestamptz;
    v_change timestamptz;
    v_repeat_end bigint;            -- end of the repeated period whose first reading `after` is in
begin
    if after is null
        or after not between '0001-01-02 00:00+00' and '9999-01-01 00:00+00'
    then
        return null;
    end if;
    if v_flags >= 32 then
        if after < spec.anchor then
            return spec.anchor;  -- also the second reading of a repeated local time
        end if;
        if v_flags & 32 <> 0 then
            return scheduler_internal.next_elapsed_step(spec.step, spec.anchor, after);
        end if;
    end if;

    v_local := after at time zone timezone;
    v_second := floor(date_part('epoch', v_local))::bigint + 1;
    if v_flags & 4 <> 0 and not v_is_utc and (v_local at time zone timezone) > after then
        v_change := scheduler_internal.offset_change(
            timezone, after, v_local at time zone timezone);
        v_repeat_end := date_part('epoch', v_change)
            + date_part('epoch', v_local) - date_part('epoch', after);
    end if;

    loop
        if v_flags & 64 <> 0 then
            v_second := scheduler_internal.next_local_step(spec, timezone, v_second);
        else
            v_day := floor(v_second / 86400::double precision);
            v_time := v_second - v_day * 86400::bigint;
            -- The first time of day from v_time on; when none is left, the next day's first.
            if v_time <= v_first_time then
                v_time := v_first_time;
            elsif (spec.hour >> (v_time / 3600)) & 1 = 1
                and (spec.min >> (v_time / 60 % 60)) & 1 = 1
                and spec.sec >> (v_time % 60) <> 0
            then
                v_time := v_time + scheduler_internal.lowest_bit(spec.sec >> (v_time % 60));
            elsif (spec.hour >> (v_time / 3600)) & 1 = 1
                and spec.min >> (v_time / 60 % 60 + 1) <> 0
            then
                v_time := v_time / 60 + 1;
                v_time := 60 * (v_time + scheduler_internal.lowest_bit(spec.min >> (v_time % 60)))
                    + v_first_time % 60;
            elsif spec.hour >> (v_time / 3600 + 1) <> 0 then
                v_time := v_time / 3600 + 1;
                v_time := 3600 * (v_time + scheduler_internal.lowest_bit(spec.hour >> v_time))
                    + v_first_time % 3600;
            else
                v_day := v_day + 1;
                v_time := v_first_time;
            end if;
            if v_flags & 2 = 0 then
                v_match := scheduler_internal.next_matching_day(spec, v_day);
                if v_match is null then
                    return null;
                elsif v_match > v_day then
                    v_day := v_match;
                    v_time := v_first_time;
                end if;
            end if;
            v_second := v_day * 86400::bigint + v_time;
        end if;

        if v_is_utc then
            return to_timestamp(v_second);
        end if;
        if v_repeat_end is not null then
            -- The rest of the first reading; after it the second, from its start.
            if v_second < v_repeat_end then
                return to_timestamp(
                    v_second - date_part('epoch', v_local) + date_part('epoch', after));
            end if;
            v_repeat_end := null;
            v_second := date_part('epoch', v_change at time zone timezone);
            continue;
        end if;
        v_local := to_timestamp(v_second) at time zone 'UTC';
        v_instant := v_local at time zone timezone;
        if v_instant at time zone timezone = v_local
            and (v_instant - interval '24 hours') at time zone timezone
                = v_local - interval '24 hours'
        then
            return v_instant;
        end if;

        select r.instant, r.resume_second into v_instant, v_second
        from scheduler_internal.resolve_near_change(timezone, v_local, after, v_flags) as r;
        if v_instant is not null then
            return v_instant;
        end if;
    end loop;
end
$$;
