-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.fire_punctual(integer, timestamptz, integer);

create or replace function scheduler_internal.fire_punctual(
    shard integer,
    at timestamptz,
    until timestamptz,
    max_fires integer
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_memoize = off
as $$
-- Fires the schedules of a shard that have just one instant due, on time, with no execution of
-- theirs in the way: nearly all, so that they go as a set. Leaves the others due, for
-- fire_schedule(). For tick_ahead() also what comes until a moment from now, but for the first, and
-- of no job more than one instant.
--
-- One statement, in which each row is read once and found again by its ctid; all are moved before
-- the first is inserted (in turns: 3 us of 27 a row more). What 1,000 schedules have in common is
-- done once: next_instant() for each rule and instant among them (11 us a call, 2 us to find out
-- which are alike), and what is random in their ids, which ascend: that spares finish() 1 us of 28.
-- A plain insert, because ON CONFLICT probes every unique index beforehand (8.6 us). A fire that
-- waits already (a schedule was set back by hand) undoes this call, and fire_schedule() does its
-- work.
--
-- The look for a live fire is right although it has the statement's snapshot and not that of the
-- lock: a schedule that another tick moved after the snapshot is locked in its new version, whose
-- ctid the snapshot does not see; so it is not moved here, and stays due for fire_schedule().
--
-- The settings fix its plan, which is made once a session: by the indexes and ctids, pruned to the
-- shard as it starts. Planned anew each time a tick of 60 fires took 3.4 ms of CPU, so it takes
-- 2.2.
-- Locks: due schedule rows, SKIP LOCKED. Writes: waiting, schedules. Returns how many fired.
declare
    v_count bigint;
begin
    with due as materialized (
        select s.ctid as row_id, s.spec, s.timezone, s.next_fire_at
        from scheduler_internal.schedules s
        where s.shard = fire_punctual.shard and s.next_fire_at <= until
          and (until <= at or (s.last_fire_at > at) is not true)
        order by s.next_fire_at
        limit max_fires
        offset case when until > at then 1 else 0 end
        for update skip locked
    ), rules as materialized (
        select d.next_fire_at as fire_at, array_agg(d.row_id) as row_ids,
               scheduler_internal.next_instant(d.spec, d.timezone, d.next_fire_at) as following,
               uuid_hash_extended(gen_random_uuid(), 0) >> 1 as seed
        from due d
        group by d.spec, d.timezone, d.next_fire_at,
                 -- Steps by days or months each by itself: 1 month equals 30 days.
                 case when (d.spec).flags & 64 <> 0 then d.row_id end
    ), moved as (
        update scheduler_internal.schedules s
        set next_fire_at = case when rules.following <= coalesce(s.ends_at, rules.following)
                                then rules.following end,
            last_fire_at = rules.fire_at
        from rules
        cross join unnest(rules.row_ids) with ordinality d (row_id, position)
        where s.shard = fire_punctual.shard and s.ctid = d.row_id
          and (rules.following is null or rules.following > coalesce(least(at, s.ends_at), at))
          -- is_alive(), written out: a function that holds a subquery is not inlined (20 us a row
          -- instead of 3).
          and (s.overlap = 'allow' or not exists (
                   select from scheduler_internal.running r
                   where r.shard = fire_punctual.shard and r.job_id = s.job_id
                     and r.fire_at is not null and r.origin = 'f')
               and (
                   select w.fire_at from scheduler_internal.waiting w
                   where w.shard = fire_punctual.shard and w.job_id = s.job_id
                     and w.fire_at is not null and w.origin = 'f'
                   order by w.fire_at desc
                   limit 1) is null)
          and rules.fire_at >= coalesce(
                  at - coalesce(s.misfire_window,
                                case when s.misfire = 'skip'
                                     then scheduler_internal.misfire_grace() end),
                  rules.fire_at)
        returning s.shard, s.job_id, s.job_version, s.jitter, s.expires_after, s.rank, s.overlap,
                  s.queue, s.job_type, s.handler, rules.fire_at, rules.following,
                  rules.seed + d.position as random
    ), born as (
        insert into scheduler_internal.waiting
            (shard, attempt, execution_id, run_at, created_at, fire_at, expires_at, job_id,
             job_version, attempt_base, rank, crashes, origin, exclusive, queue, job_type, handler)
        select m.shard, 0,
               scheduler_internal.make_id(m.shard, r.run_at, m.random),
               r.run_at, at, m.fire_at, r.run_at + m.expires_after, m.job_id, m.job_version, 0,
               m.rank, 0, 'f', m.overlap in ('queue_one', 'cancel_running'), m.queue, m.job_type,
               m.handler
        from moved m
        cross join lateral (
            select greatest(at, case when m.jitter > '0'
                                then scheduler_internal.spread(m.job_id, m.fire_at,
                                         least(m.jitter, m.following - m.fire_at))
                                else m.fire_at end) as run_at
        ) r
    )
    select count(*) into v_count from moved m;
    return v_count;
exception when unique_violation then
    return 0;
end;
$$;

comment on function scheduler_internal.fire_punctual(
    integer, timestamptz, timestamptz, integer) is
    'The set-based half of a tick: schedules with one instant due, on time and unhindered';
