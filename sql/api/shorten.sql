-- It had one more argument, for a document that is shown alone.
-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.shorten(jsonb, boolean);

-- Without SET, and stable as pg_column_size() is, so that it is inlined: a page of 50 executions
-- takes 250 of them, 5 us each if it is not.
create or replace function scheduler_internal.shorten(document jsonb)
returns jsonb
language sql
stable
parallel safe
as $$
    -- Fifty payloads of a megabyte are no page: in a list a large document is only said to be one.
    -- The size as stored is looked at first, because to write out a large one takes 10 ms. It may
    -- be several times that of the text, or, compressed, a part of it: it only sorts out the large.
    select case
        when document is null
             or pg_column_size(document) < 40000 and octet_length(document::text) <= 4000
        then document
        else '{"truncated": true}'
    end
$$;

comment on function scheduler_internal.shorten(jsonb) is
    'A document as a list shows it: of one larger than 4,000 bytes only that it is';
