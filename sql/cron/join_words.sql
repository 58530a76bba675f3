create or replace function scheduler_internal.join_words(words text[]) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Part of describe: "a", "a and b", "a, b and c".
    select concat_ws(' and ',
        nullif(array_to_string(words[:cardinality(words) - 1], ', '), ''),
        words[cardinality(words)])
$$;
