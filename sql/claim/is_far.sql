-- Without SET, so that it is inlined.
create or replace function scheduler_internal.is_far(walked bigint)
returns boolean
language sql
immutable
parallel safe
as $$
    -- A thousand dead entries take a fraction of a millisecond. By count and not by the clock,
    -- which also measures what else the machine does.
    select walked > 1000
$$;

comment on function scheduler_internal.is_far(bigint) is
    'Whether a claim has walked over so many entries of an index that the next should begin later';
