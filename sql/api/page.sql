create or replace function scheduler_internal.page(items json, next_cursor text)
returns json
language sql
immutable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
    select json_build_object('items', coalesce(items, '[]'), 'next_cursor', next_cursor)
$$;

comment on function scheduler_internal.page(json, text) is
    'A page of a list. next_cursor null: there is nothing beyond';
