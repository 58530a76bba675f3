create or replace function scheduler.next_fire(
    schedule text,
    timezone text default 'UTC',
    after timestamptz default null,
    dst text default 'debian'
) returns timestamptz
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
-- The first instant after a given one (null: now) at which a schedule fires; null when it never
-- fires again.
-- Raises: 22004, 22023 for a schedule, zone, dst policy or time that is wrong.
begin
    return (select p from scheduler.preview(schedule, timezone, 1, after, dst) as p);
end
$$;

comment on function scheduler.next_fire(text, text, timestamptz, text) is
    'The first instant after a given one (null: now) at which a schedule fires;'
    ' null when it never fires again.';
