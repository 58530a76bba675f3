-- Without SET, and stable as json_build_object() is, so that it is inlined: else each page plans
-- it.
create or replace function scheduler_internal.page(items json, next_cursor text)
returns json
language sql
stable
parallel safe
as $$
    select json_build_object('items', coalesce(items, '[]'), 'next_cursor', next_cursor)
$$;

comment on function scheduler_internal.page(json, text) is
    'A page of a list. next_cursor null: there is nothing beyond';
