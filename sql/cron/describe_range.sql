create or replace function scheduler_internal.describe_range(field text, entry text) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Part of describe: "5", "the 1st to the 7th", "Monday to Friday".
    select string_agg(scheduler_internal.describe_value(field, token), ' to ' order by n)
    from unnest(string_to_array(entry, '-')) with ordinality as u(token, n)
$$;
