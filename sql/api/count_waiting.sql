create or replace function scheduler_internal.count_waiting(at timestamptz, most integer)
returns table (queue text, ready bigint, scheduled bigint, is_capped boolean)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
-- What waits in each queue, counted up to a bound: of each of 100 queues at most so many in
-- each shard. The index that claims by gives the next queue without a look at the rows between.
-- Capped is also what follows, by name, on the hundredth of a shard: there it was not counted.
--
-- In PL/pgSQL, which keeps the plan: in SQL each call planned it anew.
begin
    return query
    with recursive found (shard, queue, n) as (
        select s, (select w.queue from scheduler_internal.waiting w
                   where w.shard = s order by w.queue limit 1), 1
        from generate_series(0, 15) s
        union all
        select f.shard, (select w.queue from scheduler_internal.waiting w
                         where w.shard = f.shard and w.queue > f.queue order by w.queue limit 1),
               f.n + 1
        from found f
        where f.queue is not null and f.n < 100
    )
    select f.queue, sum(c.ready)::bigint, sum(c.scheduled)::bigint,
           bool_or(c.n >= most)
           or f.queue > coalesce((select min(x.queue) from found x where x.n = 100), f.queue)
    from found f
    cross join lateral (
        select count(*) as n, count(*) filter (where x.run_at <= at) as ready,
               count(*) filter (where x.run_at > at) as scheduled
        from (
            select w.run_at from scheduler_internal.waiting w
            where w.shard = f.shard and w.queue = f.queue
            limit most
        ) x
    ) c
    where f.queue is not null
    group by f.queue;
end;
$$;

comment on function scheduler_internal.count_waiting(timestamptz, integer) is
    'What waits in each queue, counted up to a bound';
