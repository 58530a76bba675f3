-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.ready_shards(text[], timestamptz);

create or replace function scheduler_internal.ready_shards(queues text[], at timestamptz)
returns integer[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
as $$
-- Which shards have something ready in these queues, in a random rotation. What an idle worker asks
-- many times a second, so its plans are made once a session, and of each shard the first row of the
-- index is looked at to begin with: mostly that tells. Where it does not, open_shards() does.
-- Whether it has walked far is asked only of what took four times as long as is usual: to count for
-- sixteen shards takes a seventh more.
-- Locks, Writes: claim_sweeps, SKIP LOCKED, when it has walked far.
declare
    v_first constant integer := floor(random() * 16)::integer;
    v_began_at constant timestamptz := clock_timestamp();
    v_ready integer[];
    v_open integer[];
begin
    select coalesce(array_agg(l.shard) filter (where l.is_ready), '{}'),
           array_agg(l.shard) filter (where not l.is_ready)
    into v_ready, v_open
    from (
        select g.shard, (s.next_at is null and w.run_at <= at
                         and (queues is null or w.queue = any (queues))) is true as is_ready
        from generate_series(0, 15) g(shard)
        left join scheduler_internal.claim_sweeps s on s.shard = g.shard
        left join lateral (
            select w.queue, w.run_at
            from scheduler_internal.waiting w
            where w.shard = g.shard and s.next_at is null
            order by w.queue, w.rank, w.run_at
            limit 1
        ) w on true
        where s.next_at is not null or w.run_at is not null
    ) l;
    if v_open is not null then
        v_ready := v_ready || scheduler_internal.open_shards(v_open, queues, at);
    end if;
    if clock_timestamp() > v_began_at + interval '2 milliseconds' then
        update scheduler_internal.claim_sweeps s set next_at = v_began_at
        where s.ctid = any (array(
            select x.ctid from scheduler_internal.claim_sweeps x
            where x.next_at is null
              and scheduler_internal.is_far(scheduler_internal.walked(x.shard))
            for update skip locked));
    end if;
    return array(select r from unnest(v_ready) r order by (r + v_first) % 16);
end;
$$;

comment on function scheduler_internal.ready_shards(text[], timestamptz) is
    'The shards with something ready in these queues (null: any), in a random rotation';
