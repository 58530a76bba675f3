create or replace function scheduler_internal.cut_document(document jsonb)
returns jsonb
language plpgsql
immutable
strict
set search_path = pg_catalog, pg_temp
as $$
-- Of a document of more than 64 KiB the head and the tail as text, and its size.
declare
    v_text constant text := document::text;
begin
    if octet_length(v_text) <= 65536 then
        return document;
    end if;
    return jsonb_strip_nulls(jsonb_build_object(
        'truncated', true, 'bytes', octet_length(v_text), 'head', left(v_text, 16000),
        'tail', right(v_text, 16000), 'type', left(document ->> 'type', 200),
        'message', left(document ->> 'message', 2000), 'retry', document -> 'retry'));
end;
$$;

comment on function scheduler_internal.cut_document(jsonb) is
    'A document of up to 64 KiB as it is; of a larger one its head, tail and size';
