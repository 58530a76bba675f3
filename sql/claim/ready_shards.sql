create or replace function scheduler_internal.ready_shards(queues text[], at timestamptz)
returns setof integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Which shards have something ready in these queues, in a random rotation. What an idle worker asks
-- many times a second: one statement, planned once a session. In each shard the (queue, rank) pairs
-- that exist are hopped through by the index, one probe a pair, so that rows that wait for the
-- future cost nothing.
declare
    v_first constant integer := floor(random() * 16)::integer;
begin
    return query
    select (v_first + g.i) % 16
    from generate_series(0, 15) g(i)
    where exists (
        with recursive pair as (
            (select w.queue, w.rank
             from scheduler_internal.waiting w
             where w.shard = (v_first + g.i) % 16
             order by w.queue, w.rank
             limit 1)
            union all
            select n.queue, n.rank
            from pair p
            cross join lateral (
                select w.queue, w.rank
                from scheduler_internal.waiting w
                where w.shard = (v_first + g.i) % 16 and (w.queue, w.rank) > (p.queue, p.rank)
                order by w.queue, w.rank
                limit 1
            ) n
        )
        select from pair p
        where (queues is null or p.queue = any (queues))
          -- limit: the probe stays a probe, where "exists" becomes a join that reads every row
          and (select true from scheduler_internal.waiting w
               where w.shard = (v_first + g.i) % 16 and w.queue = p.queue and w.rank = p.rank
                 and w.run_at <= at
               limit 1))
    order by g.i;
end;
$$;

comment on function scheduler_internal.ready_shards(text[], timestamptz) is
    'The shards with something ready in these queues (null: any), in a random rotation';
