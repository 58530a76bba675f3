create or replace function scheduler.preview_json(
    schedule text,
    timezone text default 'UTC',
    n integer default 5,
    after timestamptz default null,
    dst text default 'debian'
)
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    -- Raises: as preview().
    select json_build_object('description', scheduler.describe(schedule), 'fires', coalesce(
        (select json_agg(f) from scheduler.preview(schedule, timezone, n, after, dst) f), '[]'))
$$;

comment on function scheduler.preview_json(text, text, integer, timestamptz, text) is
    'What a schedule means, as JSON: {"description": …, "fires": […]}, in words and its next n '
    'instants after a given one (null: now)';
