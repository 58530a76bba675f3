create or replace function scheduler.tick(
    max_fires integer default 1000,
    out fired bigint,
    out skipped bigint,
    out next_due_at timestamptz
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
-- tick_shard() for every shard with due work, in one transaction: for psql and for small
-- installations.
-- Locks, Writes, Raises: as tick_shard(); max_fires holds for each shard.
declare
    v_due record;
    v_tick record;
begin
    perform scheduler_internal.mark('ticker', scheduler.now());
    fired := 0;
    skipped := 0;
    for v_due in select d.shard, d.next_due_at from scheduler.due_shards() d order by 1 loop
        if v_due.next_due_at <= scheduler.now() then
            v_tick := scheduler.tick_shard(v_due.shard, max_fires);
            fired := fired + v_tick.fired;
            skipped := skipped + v_tick.skipped;
            v_due.next_due_at := v_tick.next_due_at;
        end if;
        next_due_at := least(next_due_at, v_due.next_due_at);
    end loop;
end;
$$;

comment on function scheduler.tick(integer) is
    'Turns due fires into executions, on every shard. What the ticker does, by hand';
