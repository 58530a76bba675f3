-- Without SET and no stricter than what it calls, so that it is inlined: a call for each result and
-- error took a fifth of finish().
create or replace function scheduler_internal.cap_document(document jsonb)
returns jsonb
language sql
stable
as $$
    -- Compressed it may hold more, but rarely: the exact test is in cut_document().
    select case
        when pg_column_size(document) < 8192 then document
        else scheduler_internal.cut_document(document)
    end
$$;

comment on function scheduler_internal.cap_document(jsonb) is
    'A result or an error as it is kept: whole up to 64 KiB, else its head, tail and size';
