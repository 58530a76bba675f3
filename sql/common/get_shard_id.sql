-- Without SET, so that it is inlined: 0.1 us a row instead of 1.
create or replace function scheduler.get_shard_id(job_id uuid)
returns integer
language sql
immutable
strict
parallel safe
as $$
    select get_byte(uuid_send(job_id), 6) & 15
$$;

comment on function scheduler.get_shard_id(uuid) is
    'The shard, 0..15, of a job or an execution: the hexadecimal digit of its id that follows the '
    'version. Stable for ever; uniform for any random uuid';
