create or replace function scheduler_internal.check_page(max_rows integer)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for a page of no rows, or of too many.
begin
    if max_rows is null or max_rows not between 1 and 1000 then
        perform scheduler_internal.refuse(
            format('max_rows %s is out of range', coalesce(max_rows::text, 'null')),
            'A page has 1 to 1000 rows.', 'Ask for the next page with its cursor.',
            argument => 'max_rows');
    end if;
end;
$$;

comment on function scheduler_internal.check_page(integer) is
    'Refuses a page of no rows, or of too many';
