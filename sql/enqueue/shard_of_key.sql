-- Without SET, so that it is inlined.
create or replace function scheduler_internal.shard_of_key(dedup_key text)
returns integer
language sql
immutable
strict
parallel safe
as $$
    select get_byte(decode(md5(dedup_key), 'hex'), 0) & 15
$$;

comment on function scheduler_internal.shard_of_key(text) is
    'The shard, 0..15, of the executions with a dedup_key: so that the key is unique in one table';
