create or replace function scheduler_internal.describe_distance(step integer, unit text)
returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Part of describe: "every hour", "every 2 hours".
    select case step when 1 then 'every ' || unit else format('every %s %ss', step, unit) end
$$;
