-- Without SET, so that it is inlined, as new_id() is.
create or replace function scheduler_internal.make_id(
    shard integer,
    at timestamptz,
    random bigint
)
returns uuid
language sql
stable
parallel safe
as $$
    -- UUIDv7: 48 bits of milliseconds, the version, the shard in the next four bits, eight zeros,
    -- the variant, then the lower 62 bits of what is random; in a batch that is counted up.
    select (lpad(to_hex((date_part('epoch', at) * 1000)::bigint << 16 | 28672 | (shard << 8)),
                 16, '0')
            || to_hex((random & 4611686018427387903) | (1::bigint << 63)))::uuid
$$;

comment on function scheduler_internal.make_id(integer, timestamptz, bigint) is
    'The id of a shard, a time, and what is random; see new_id()';
