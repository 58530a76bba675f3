create or replace function scheduler.preview(
    schedule text,
    timezone text default 'UTC',
    n integer default 5,
    after timestamptz default null,
    dst text default 'debian'
) returns setof timestamptz
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
-- The next n instants after a given one (null: now) at which a schedule fires, oldest first; fewer
-- when it ends before.
-- Raises: 22004, 22023 for a schedule, zone, dst policy, number or time that is wrong.
declare
    v_timezone text := scheduler_internal.check_time_zone(timezone);
    v_spec scheduler_internal.schedule_spec := scheduler_internal.compile_schedule(
        schedule => schedule, timezone => v_timezone, dst => dst);
    v_instant timestamptz := coalesce(after, scheduler.now());
begin
    if n is null or n not between 1 and 10000 then
        raise exception using
            errcode = '22023',
            message = format('n is %s', coalesce(n::text, 'null')),
            hint = 'Ask for 1 to 10000 instants.';
    elsif v_instant not between timestamptz '1900-01-01 00:00+00' and '9000-01-01 00:00+00' then
        raise exception using
            errcode = '22023',
            message = format('after is %s', v_instant),
            hint = 'Give a time in the years 1900 to 8999.';
    end if;
    for i in 1..n loop
        v_instant := scheduler_internal.next_instant(v_spec, v_timezone, v_instant);
        exit when v_instant is null;
        return next v_instant;
    end loop;
end
$$;

comment on function scheduler.preview(text, text, integer, timestamptz, text) is
    'The next n instants after a given one (null: now) at which a schedule fires, oldest first.';
