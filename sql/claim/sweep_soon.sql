create or replace function scheduler_internal.sweep_soon(shard integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- For who puts a row back to wait with the run_at that it had: it may lie before the bound.
-- Locks, Writes: claim_sweeps, SKIP LOCKED.
begin
    update scheduler_internal.claim_sweeps s set next_at = clock_timestamp()
    where s.ctid = any (array(
        select x.ctid from scheduler_internal.claim_sweeps x
        where x.shard = sweep_soon.shard and x.next_at > clock_timestamp()
        for update skip locked));
end;
$$;

comment on function scheduler_internal.sweep_soon(integer) is
    'Has the next claim of a shard look at all that waits';
