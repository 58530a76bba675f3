create or replace function scheduler.list_workers()
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    select scheduler_internal.page(json_agg(to_json(w) order by w.started_at desc), null)
    from (select w.* from scheduler.workers w order by w.started_at desc limit 1000) w
$$;

comment on function scheduler.list_workers() is
    'The view workers as JSON, the youngest 1,000: {"items": […], "next_cursor": null}';
