-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.skip_fires(
    scheduler_internal.schedules, timestamptz, timestamptz, text, timestamptz);

create or replace function scheduler_internal.skip_fires(
    s scheduler_internal.schedules,
    from_fire_at timestamptz,
    before timestamptz,
    verdict text,
    at timestamptz,
    max_counted integer
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Gives the instants of the schedule in [from_fire_at, before) one verdict, as one row of the
-- ledger; before null: all that are due. Returns their number, counted up to max_counted: 10,000
-- take 31 ms.
-- Writes: skipped_fires.
declare
    v_upto timestamptz;
begin
    v_upto := coalesce(least(at, s.ends_at, before - interval '1 microsecond'), at);
    if from_fire_at > v_upto then
        return 0;
    end if;
    v_upto := greatest(from_fire_at, scheduler_internal.last_instant(s.spec, s.timezone, v_upto));
    perform scheduler_internal.ensure_partition('skipped_fires', (at at time zone 'UTC')::date);
    insert into scheduler_internal.skipped_fires
        (shard, job_id, job_version, from_fire_at, to_fire_at, verdict, decided_at)
    values (s.shard, s.job_id, s.job_version, skip_fires.from_fire_at, v_upto,
            skip_fires.verdict, at);
    return (select count(*) from scheduler_internal.instants(
                s.spec, s.timezone, skip_fires.from_fire_at, v_upto, max_counted));
end;
$$;

comment on function scheduler_internal.skip_fires(
    scheduler_internal.schedules, timestamptz, timestamptz, text, timestamptz, integer) is
    'One verdict for a run of instants that make no execution';
