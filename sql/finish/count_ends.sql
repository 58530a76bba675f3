-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.count_ends(scheduler_internal.rollups[]);

create or replace function scheduler_internal.count_ends(
    counts scheduler_internal.rollups[],
    apart boolean default false
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
-- Adds to the rollups: last of all, when nothing is left to wait for, because each of these rows
-- stays locked until the commit, and every worker writes them. In one order, so that two who do
-- never wait for each other in a circle.
--
-- Apart: in rows of its own, under its process instead of the shard. For a caller who commits from
-- outside and may freeze before: with the shard's row he would hold up every finish and reap of the
-- shard.
--
-- In PL/pgSQL, which keeps the plan: in SQL each batch of ends planned it anew.
-- Locks: rows of rollups. Writes: rollups.
begin
    insert into scheduler_internal.rollups as r
    select c.minute, case when apart then - pg_backend_pid() else c.shard end, c.queue, c.job_type,
           c.succeeded, c.failed, c.cancelled, c.expired, c.retried, c.wait_seconds, c.run_seconds,
           c.max_wait_seconds, c.max_run_seconds
    from unnest(counts) c
    order by c.minute, c.shard, c.queue, c.job_type
    on conflict on constraint rollups_pkey do update
    set succeeded = r.succeeded + excluded.succeeded, failed = r.failed + excluded.failed,
        cancelled = r.cancelled + excluded.cancelled, retried = r.retried + excluded.retried,
        wait_seconds = r.wait_seconds + excluded.wait_seconds,
        run_seconds = r.run_seconds + excluded.run_seconds,
        max_wait_seconds = greatest(r.max_wait_seconds, excluded.max_wait_seconds),
        max_run_seconds = greatest(r.max_run_seconds, excluded.max_run_seconds);
end;
$$;

comment on function scheduler_internal.count_ends(scheduler_internal.rollups[], boolean) is
    'Adds counts of ended attempts to the rollups';
