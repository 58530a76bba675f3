create or replace function scheduler.due_shards()
returns table (shard integer, next_due_at timestamptz)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
as $$
-- One index probe a shard. PL/pgSQL, because a function in SQL is planned anew at each call.
begin
    return query
    select g.shard, d.next_fire_at
    from generate_series(0, 15) g(shard)
    cross join lateral (
        select s.next_fire_at from scheduler_internal.schedules s
        where s.shard = g.shard and s.next_fire_at is not null
        order by s.next_fire_at
        limit 1
    ) d
    order by d.next_fire_at;
end;
$$;

comment on function scheduler.due_shards() is
    'Each shard that has a schedule, with the time of its next fire, soonest first: what a ticker '
    'sleeps by';
