create or replace function scheduler_internal.cap_document(document jsonb)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Results and errors are kept up to 64 KiB: of a larger one the head and the tail as text, and its
-- size.
declare
    v_text text;
begin
    if document is null or pg_column_size(document) < 8192 then
        return document;  -- compressed it may hold more, but rarely: the exact test is below
    end if;
    v_text := document::text;
    if octet_length(v_text) <= 65536 then
        return document;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'truncated', true, 'bytes', octet_length(v_text), 'head', left(v_text, 16000),
        'tail', right(v_text, 16000), 'type', left(document ->> 'type', 200),
        'message', left(document ->> 'message', 2000), 'retry', document -> 'retry'));
end;
$$;

comment on function scheduler_internal.cap_document(jsonb) is
    'A result or an error as it is kept: whole up to 64 KiB, else its head, tail and size';
