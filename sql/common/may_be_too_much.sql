-- Without SET and no stricter than what it calls (pg_column_size is stable), so that it is inlined.
create or replace function scheduler_internal.may_be_too_much(document jsonb)
returns boolean
language sql
stable
parallel safe
as $$
    -- What is smaller cannot be too large, too deep or hold too long a number.
    select pg_column_size(document) >= 130 or octet_length(document::text) > 1000
$$;

comment on function scheduler_internal.may_be_too_much(jsonb) is
    'Whether check_document() has to look at a document: most are too small to be refused';
