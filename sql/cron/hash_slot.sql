create or replace function scheduler_internal.hash_slot(
    hash_key text,
    field text,
    slots integer
) returns integer
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
    -- The slot (0 to slots - 1) that `H` stands for: one line in any language, and unlike
    -- hashtext() promised never to change.
    select (('x' || left(md5(hash_key || ':' || field), 8))::bit(32)::bigint % slots)::integer
$$;
