create or replace function scheduler_internal.claim_mode(shard integer)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- How a claim is to look at a shard: at "all" that waits, as it should be; "bounded", from where
-- claim_bounds says; or at all again, as the one that does the "sweep" that is due.
-- Locks: the row of claim_sweeps for a sweep, SKIP LOCKED.
declare
    v_next_at timestamptz;
begin
    select s.next_at into v_next_at
    from scheduler_internal.claim_sweeps s
    where s.shard = claim_mode.shard;
    if v_next_at is null then
        return 'all';
    elsif not scheduler_internal.is_sweep_due(v_next_at) then
        return 'bounded';
    end if;
    perform from scheduler_internal.claim_sweeps s
    where s.shard = claim_mode.shard and scheduler_internal.is_sweep_due(s.next_at)
    for update skip locked;
    return case
        when found then 'sweep'
        when v_next_at between clock_timestamp() - interval '10 seconds' and clock_timestamp()
             and exists (select from scheduler_internal.claim_bounds b
                         where b.shard = claim_mode.shard) then 'bounded'
        else 'all'  -- whoever sweeps does not come to an end, or is the first
    end;
end;
$$;

comment on function scheduler_internal.claim_mode(integer) is
    'How a claim is to look at a shard: all, bounded or sweep';
