create or replace function scheduler.list_queues()
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    select scheduler_internal.page(json_agg(to_json(q) order by q.queue collate "C"), null)
    from scheduler.queues q
$$;

comment on function scheduler.list_queues() is
    'The view queues as JSON: {"items": […], "next_cursor": null}. Counts what waits';
