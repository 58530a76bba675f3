create or replace function scheduler_internal.check_traceparent(traceparent text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for what is not a W3C traceparent.
begin
    if traceparent !~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' then
        perform scheduler_internal.refuse(
            format('invalid traceparent %L', left(traceparent, 80)),
            'It is not of the form that W3C Trace Context gives.',
            'Write version-traceid-parentid-flags, or leave it null.',
            argument => 'traceparent');
    end if;
end;
$$;

comment on function scheduler_internal.check_traceparent(text) is 'Refuses a malformed traceparent';
