-- Without SET and no stricter than what it calls (extract is stable), so that it is inlined.
create or replace function scheduler_internal.spread(
    job_id uuid,
    fire_at timestamptz,
    width interval
)
returns timestamptz
language sql
stable
as $$
    -- md5, not hashtext: the same on every version of PostgreSQL.
    select fire_at + width * (
        ('x' || left(md5(job_id::text || extract(epoch from fire_at)::text), 8))::bit(32)::bigint
        / 4294967296.0)
$$;

comment on function scheduler_internal.spread(uuid, timestamptz, interval) is
    'The jittered start of a fire: anywhere in [fire_at, fire_at + width), always the same for the '
    'same fire';
