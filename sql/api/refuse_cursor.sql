-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.refuse_cursor(text);

create or replace function scheduler_internal.refuse_cursor(
    cursor text,
    argument text default 'after'
)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for the cursor of another list, or of none.
begin
    perform scheduler_internal.refuse(
        format('invalid cursor %L', left(cursor, 80)), 'It is not a cursor of this list.',
        'Give the next_cursor of the page before; none for the first page.', argument => argument);
end;
$$;

comment on function scheduler_internal.refuse_cursor(text, text) is
    'Raises an error about a cursor';
