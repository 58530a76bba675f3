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
    perform scheduler_internal.check_preview(n, v_instant);
    for i in 1..n loop
        v_instant := scheduler_internal.next_instant(v_spec, v_timezone, v_instant);
        exit when v_instant is null;
        return next v_instant;
    end loop;
end
$$;

comment on function scheduler.preview(text, text, integer, timestamptz, text) is
    'The next n instants after a given one (null: now) at which a schedule fires, oldest first.';
