create or replace function scheduler_internal.sum_totals(at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
as $$
-- Adds the rollups that will not change any more to the totals. A minute is settled after ten:
-- what counts in it commits soon after, but for a caller who cancels and then keeps his transaction
-- open for longer; that one is missed in the totals.
-- Locks: the mark totals, SKIP LOCKED: who has it sums up. Writes: execution_totals; the mark.
declare
    v_from timestamptz;
    v_to constant timestamptz := date_trunc('minute', at) - interval '10 minutes';
begin
    select coalesce(m.at, '-infinity') into v_from from scheduler_internal.marks m
    where m.name = 'totals'
    for update skip locked;
    if not found or v_from >= v_to then
        return;
    end if;
    insert into scheduler_internal.execution_totals as t
        (job_type, succeeded, failed, cancelled, expired, retried)
    select r.job_type, sum(r.succeeded), sum(r.failed), sum(r.cancelled), sum(r.expired),
           sum(r.retried)
    from scheduler_internal.rollups r
    where r.minute >= v_from and r.minute < v_to
    group by r.job_type
    on conflict (job_type) do update
    set succeeded = t.succeeded + excluded.succeeded, failed = t.failed + excluded.failed,
        cancelled = t.cancelled + excluded.cancelled, expired = t.expired + excluded.expired,
        retried = t.retried + excluded.retried;
    update scheduler_internal.marks m set at = v_to where m.name = 'totals';
end;
$$;

comment on function scheduler_internal.sum_totals(timestamptz) is
    'Adds settled rollups to execution_totals';
