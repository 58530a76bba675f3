create or replace function scheduler_internal.compile_schedule(
    schedule text,
    timezone text default 'UTC',
    hash_key text default null,
    dst text default 'debian'
) returns scheduler_internal.schedule_spec
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
-- A schedule as text (cron, nickname or `every`) in the form that next_instant reads. hash_key, the
-- job's name, is what `H` is drawn from. timezone must come from check_time_zone.
--
-- schedule_spec: sec, min, hour, dom, mon, dow hold one bit for each value of the field; nth, lom
-- and wd the `#`, `L` and `W` forms (see nth_weekdays, nearest_workdays; lom: bit 31 - n = `L-n`);
-- years is null for every year; tod0 is the first time of day in seconds; step and anchor belong
-- to `every`. flags:
--    1  a day must match both day fields (else either)
--    2  every day matches
--    4  runs at every reading of a repeated local time (else at the first)
--    8  nth, lom or wd is used
--   16  a run inside a gap happens at the first instant after it (else not at all)
--   32  `every` with elapsed time
--   64  `every` with calendar steps
--
-- Raises: 22004 for null, 22023 for what is wrong or can never fire.
declare
    v_spec scheduler_internal.schedule_spec;
    v_text text := btrim(schedule, E' \t');
    v_null constant text := case when schedule is null then 'schedule'
                                 when timezone is null then 'timezone'
                                 when dst is null then 'dst' end;
begin
    if v_null is not null then
        raise exception using
            errcode = '22004',
            message = format('%s is null', v_null),
            column = v_null,
            detail = 'Schedule, time zone and dst policy decide together when a job fires.',
            hint = 'Give a schedule such as "0 9 * * MON-FRI", an IANA time zone, and a dst '
                'policy.';
    elsif dst not in ('debian', 'wall', 'skip') then
        raise exception using
            errcode = '22023',
            column = 'dst',
            message = format('invalid dst policy "%s"', left(dst, 100)),
            detail = 'It decides about times that a change of the clocks skips or repeats.',
            hint = 'Use debian, wall or skip.';
    elsif length(schedule) > 1000 then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('The schedule is %s characters long; at most 1000 are read.', length(schedule)),
            'Write ranges and steps instead of long lists, or split the job in two.');
    elsif v_text = '' then
        perform scheduler_internal.refuse_schedule(schedule, 'The schedule is empty.');
    end if;

    if lower(v_text collate "C") ~ E'^every([ \t]|$)' then
        v_spec := scheduler_internal.compile_every(schedule, v_text, timezone);
    else
        v_spec := scheduler_internal.compile_cron(schedule, v_text, hash_key);
    end if;

    -- compile_cron has set bit 4 for an interval schedule, one whose wall time is not fixed.
    if v_spec.flags & 32 = 0 then
        v_spec.flags := (v_spec.flags & ~4) | case
            when dst = 'skip' then 0
            when dst = 'wall' or v_spec.flags & 4 <> 0 then 4
            else 16
        end;
    end if;

    if scheduler_internal.next_instant(
        v_spec, timezone,
        case
            when v_spec.years is not null then timestamptz '1969-12-30 00:00+00'
            else timestamptz '2000-01-01 00:00+00'
        end) is null
    then
        perform scheduler_internal.refuse_schedule(
            schedule,
            'It can never fire: no selected month or year has a day that the day fields select.',
            'Choose a day that exists, or "L" for the last day of the month.');
    end if;
    return v_spec;
end
$$;
