create or replace function scheduler_internal.check_dedup_key(dedup_key text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for a key that is empty, or too long for an index.
begin
    if length(dedup_key) not between 1 and 500 then
        perform scheduler_internal.refuse('invalid dedup_key',
            format('It has 1 to 500 characters, not %s.', length(dedup_key)), 'Hash a longer one.',
            argument => 'dedup_key');
    end if;
end;
$$;

comment on function scheduler_internal.check_dedup_key(text) is
    'Refuses a dedup_key that is empty or long';
