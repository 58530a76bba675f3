create or replace function scheduler_internal.ordinal(number integer) returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- Part of describe: "1st", "2nd", "3rd", "11th".
    select number || case
        when number % 100 in (11, 12, 13) then 'th'
        when number % 10 = 1 then 'st'
        when number % 10 = 2 then 'nd'
        when number % 10 = 3 then 'rd'
        else 'th'
    end
$$;
