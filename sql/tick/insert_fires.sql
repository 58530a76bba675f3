create or replace function scheduler_internal.insert_fires(
    shard integer,
    origin "char",
    job_ids uuid[],
    fire_ats timestamptz[],
    followings timestamptz[],
    at timestamptz,
    held boolean
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Makes an execution of each fire (job, instant). A jittered one runs later by a hash of job and
-- instant: the same on every ticker, and never past the instant that follows. A backfill's bear the
-- trace of their request.
-- Writes: waiting. Returns how many were new: one that waits already is left alone.
declare
    v_count bigint;
begin
    insert into scheduler_internal.waiting
        (shard, attempt, execution_id, run_at, created_at, fire_at, expires_at, job_id, job_version,
         attempt_base, rank, crashes, origin, exclusive, queue, job_type, handler, traceparent)
    select s.shard, 0, scheduler_internal.new_id(s.shard, r.run_at),
           case when held then 'infinity' else r.run_at end, at, f.fire_at,
           r.run_at + s.expires_after, s.job_id, s.job_version, 0, s.rank, 0, insert_fires.origin,
           s.overlap in ('queue_one', 'cancel_running') and insert_fires.origin = 'f',
           s.queue, s.job_type, s.handler,
           case when insert_fires.origin = 'b'
                then scheduler_internal.setting('traceparent', null) end
    from unnest(job_ids, fire_ats, followings) f(job_id, fire_at, following)
    join scheduler_internal.schedules s on s.shard = insert_fires.shard and s.job_id = f.job_id
    cross join lateral (
        select greatest(at, case when s.jitter > '0' and insert_fires.origin = 'f'
                            then scheduler_internal.spread(s.job_id, f.fire_at,
                                     least(s.jitter, f.following - f.fire_at))
                            else f.fire_at end) as run_at
    ) r
    on conflict do nothing;
    get diagnostics v_count = row_count;
    return v_count;
end;
$$;

comment on function scheduler_internal.insert_fires(
    integer, "char", uuid[], timestamptz[], timestamptz[], timestamptz, boolean) is
    'Makes the executions of fires, many jobs at once';
