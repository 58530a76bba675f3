create or replace function scheduler_internal.check_document(label text, document jsonb)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 when a payload is larger than 1 MiB, nested deeper than 64, or holds a number of
-- more than 1000 digits, which a few bytes can hold, and which no other language takes. (\u0000
-- and malformed JSON never get here: the type jsonb refuses them.)
begin
    if scheduler_internal.may_be_too_much(document) is not true then
        return;
    end if;
    if octet_length(document::text) > 1048576 then
        perform scheduler_internal.refuse(
            format('the %s is too large', label),
            format('%s bytes; 1 MiB is the most.', octet_length(document::text)),
            'Keep the data in a table of yours and pass its key.', argument => label);
    end if;
    if jsonb_path_exists(
           document,
           'strict $.**{64 to last} ? (@.type() == "object" || @.type() == "array")') then
        perform scheduler_internal.refuse(
            format('the %s is nested too deeply', label), 'More than 64 levels.', 'Flatten it.',
            argument => label);
    end if;
    if jsonb_path_exists(
           document,
           'strict $.** ? (@.type() == "number" && (@ >= 1e1000 || @ <= -1e1000))') then
        perform scheduler_internal.refuse(
            format('the %s holds a number that is out of range', label),
            'It has more than 1000 digits.', 'Write it as a string.', argument => label);
    end if;
end;
$$;

comment on function scheduler_internal.check_document(text, jsonb) is
    'Bounds the size, depth and numbers of a payload';
