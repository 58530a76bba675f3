-- Without SET, so that it is inlined: insert_fires() makes one for each row.
create or replace function scheduler_internal.new_id(shard integer, at timestamptz)
returns uuid
language sql
volatile
parallel safe
as $$
    select scheduler_internal.make_id(shard, at, uuid_hash_extended(gen_random_uuid(), 0))
$$;

comment on function scheduler_internal.new_id(integer, timestamptz) is
    'A new id that tells its shard (get_shard_id) and its time (id_time). Version 15 of PostgreSQL '
    'has no uuidv7()';
