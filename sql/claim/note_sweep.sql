create or replace function scheduler_internal.note_sweep(
    shard integer,
    walked bigint,
    lanes scheduler_internal.claim_bounds[],
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- What a claim that looked at all lanes of a shard has learned, for the next ones. If it walked far
-- the next one sweeps: nearly always the walk has marked the dead entries, as PostgreSQL does where
-- no transaction needs them, and it is short. If it is far, too, claims begin at bounds until it is
-- time to sweep again, so late that the sweeps of all shards take a tenth of a core at most; if it
-- is not, all is well again, and the bounds go: else those of old queues would pile up.
--
-- A bound is a second before the oldest row that waits, whoever may claim it: so a claim with
-- filters hides nothing from others, nor does one that is rolled back.
-- Locks, Writes: claim_sweeps, claim_bounds, SKIP LOCKED.
declare
    v_far constant boolean := scheduler_internal.is_far(walked);
begin
    perform from scheduler_internal.claim_sweeps s
    where s.shard = note_sweep.shard
      and (s.next_at is null or scheduler_internal.is_sweep_due(s.next_at))
    for update skip locked;
    if not found then
        return;
    end if;
    update scheduler_internal.claim_sweeps s
    set next_at = case
        when not v_far then null
        when s.next_at is null then clock_timestamp()
        else clock_timestamp() + least(
            (walked + cardinality(lanes)) * interval '100 microseconds', interval '10 seconds')
    end
    where s.shard = note_sweep.shard;
    if not v_far then
        delete from scheduler_internal.claim_bounds b
        where b.ctid = any (array(
            select x.ctid from scheduler_internal.claim_bounds x
            where x.shard = note_sweep.shard
            for update skip locked));
        return;
    end if;
    -- A lane in which nothing waits now begins where the next comes.
    update scheduler_internal.claim_bounds b
    set from_run_at = least(at, l.from_run_at) - interval '1 second'
    from (
        select x.ctid as row_id, x.queue, x.rank from scheduler_internal.claim_bounds x
        where x.shard = note_sweep.shard
        for update skip locked
    ) x
    left join unnest(lanes) l on l.queue = x.queue and l.rank = x.rank
    where b.ctid = x.row_id;
    insert into scheduler_internal.claim_bounds (shard, queue, rank, from_run_at)
    select l.shard, l.queue, l.rank, least(at, l.from_run_at) - interval '1 second'
    from unnest(lanes) l
    on conflict do nothing;
end;
$$;

comment on function scheduler_internal.note_sweep(
    integer, bigint, scheduler_internal.claim_bounds[], timestamptz) is
    'Has later claims of a shard begin behind the dead entries that a look at all of it walked '
    'over';
