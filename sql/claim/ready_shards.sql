create or replace function scheduler_internal.ready_shards(queues text[], at timestamptz)
returns setof integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Which shards have something ready in these queues, in a random rotation. What an idle worker asks
-- many times a second: one statement, planned once a session. In each shard the lanes (queue, rank)
-- that exist are hopped through by the index, one probe a lane, so that rows that wait for the
-- future cost nothing (lanes(), written out: a call of it for each shard takes an idle poll from
-- 0.36 ms of CPU to 0.43). Where claims are bounded, the lanes and where to begin are known; where
-- a sweep is due, a claim is to look.
-- Locks, Writes: claim_sweeps, SKIP LOCKED, when it has walked far.
declare
    v_first constant integer := floor(random() * 16)::integer;
    v_began_at constant timestamptz := clock_timestamp();
begin
    return query
    select g.shard
    from (select i.i, (v_first + i.i) % 16 as shard from generate_series(0, 15) i) g
    left join scheduler_internal.claim_sweeps s on s.shard = g.shard
    where case
        when s.next_at is null then exists (
            with recursive pair as (
                (select w.queue, w.rank
                 from scheduler_internal.waiting w
                 where w.shard = g.shard
                 order by w.queue, w.rank
                 limit 1)
                union all
                select n.queue, n.rank
                from pair p
                cross join lateral (
                    select w.queue, w.rank
                    from scheduler_internal.waiting w
                    where w.shard = g.shard and (w.queue, w.rank) > (p.queue, p.rank)
                    order by w.queue, w.rank
                    limit 1
                ) n
            )
            select from pair p
            where (queues is null or p.queue = any (queues))
              -- limit: the probe stays a probe, where "exists" becomes a join that reads every row
              and (select true from scheduler_internal.waiting w
                   where w.shard = g.shard and w.queue = p.queue and w.rank = p.rank
                     and w.run_at <= at
                   limit 1))
        when s.next_at <= v_began_at then true
        else exists (
            select from scheduler_internal.claim_bounds b
            where b.shard = g.shard and (queues is null or b.queue = any (queues))
              and (select true from scheduler_internal.waiting w
                   where w.shard = b.shard and w.queue = b.queue and w.rank = b.rank
                     and w.run_at >= b.from_run_at and w.run_at <= at
                   limit 1))
        end
    order by g.i;
    if clock_timestamp() > v_began_at + interval '5 milliseconds' then
        update scheduler_internal.claim_sweeps s set next_at = v_began_at
        where s.ctid = any (array(
            select x.ctid from scheduler_internal.claim_sweeps x
            where x.next_at is null
              and scheduler_internal.is_far(scheduler_internal.walked(x.shard))
            for update skip locked));
    end if;
end;
$$;

comment on function scheduler_internal.ready_shards(text[], timestamptz) is
    'The shards with something ready in these queues (null: any), in a random rotation';
