create or replace function scheduler_internal.take_back_fires(
    shard integer,
    job_id uuid,
    at timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $$
-- Makes undone what tick_ahead() has made of a job and is not due yet, because something about the
-- job changes: its instant is undecided again. There is at most one. What a worker has taken
-- meanwhile was due; what was cancelled has its verdict.
-- Locks: the schedule row must be locked by the caller. Writes: waiting, schedules.
declare
    v_fire_at timestamptz;
begin
    select s.last_fire_at into v_fire_at from scheduler_internal.schedules s
    where s.shard = take_back_fires.shard and s.job_id = take_back_fires.job_id
      and s.last_fire_at > at;
    delete from scheduler_internal.waiting w
    where w.shard = take_back_fires.shard and w.job_id = take_back_fires.job_id
      and w.fire_at = v_fire_at and w.created_at < w.fire_at and w.origin = 'f'
      and w.attempt = 0;
    if not found then
        return;
    end if;
    update scheduler_internal.schedules s
    set next_fire_at = case when s.set_aside_at is null then v_fire_at end,
        set_aside_at = case when s.set_aside_at is not null then v_fire_at end,
        last_fire_at = greatest(
            (select max(w.fire_at) from scheduler_internal.waiting w
             where w.shard = take_back_fires.shard and w.job_id = take_back_fires.job_id
               and w.fire_at is not null and w.origin = 'f'),
            (select max(r.fire_at) from scheduler_internal.running r
             where r.shard = take_back_fires.shard and r.job_id = take_back_fires.job_id
               and r.fire_at is not null and r.origin = 'f'),
            (select h.fire_at from scheduler_internal.history h
             where h.job_id = take_back_fires.job_id and h.final and h.fire_at is not null
               and h.origin = 'f'
             order by h.fire_at desc
             limit 1))
    where s.shard = take_back_fires.shard and s.job_id = take_back_fires.job_id;
end;
$$;

comment on function scheduler_internal.take_back_fires(integer, uuid, timestamptz) is
    'Makes undone a fire of a job that was made ahead and is not due yet';
