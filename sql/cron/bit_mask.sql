create or replace function scheduler_internal.bit_mask(places integer[]) returns bigint
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- The mask with these bits set.
    select coalesce(bit_or(1::bigint << place), 0) from unnest(places) as place
$$;
