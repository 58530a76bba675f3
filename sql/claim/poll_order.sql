-- squawk-ignore ban-drop-function
drop function if exists scheduler.poll_order(uuid);

create or replace function scheduler.poll_order(
    worker_id uuid,
    out place integer,
    out workers integer,
    out is_quiet boolean
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_bitmapscan = off
set max_parallel_workers_per_gather = 0
as $$
-- Among how many workers this one polls, and which of them it is, counted from 0: so that those
-- that find nothing ask in turn, and up to four at rest ask no oftener than one (a worker shares
-- with no more: its period would grow too long). Counted are the live ones that serve the same
-- queues and job types and have room for more: who is busy asks for nothing, and his turn would be
-- a gap. And whether it is quiet: nothing has ended, in any queue, in this minute or the last one.
--
-- Nothing rests on it: who asks out of turn, or waits for the turn of one that has just died, is a
-- pause early or late. Not registered: it is alone, 0 of 1.
-- Locks, Writes: nothing.
declare
    v_now constant timestamptz := scheduler.now();
begin
    select count(*) filter (where w.worker_id < me.worker_id), count(*)
    into place, workers
    from scheduler_internal.workers me
    join scheduler_internal.workers w
      on w.queues is not distinct from me.queues and w.job_types is not distinct from me.job_types
    where me.worker_id = poll_order.worker_id
      and w.stopped_at is null and not w.draining and w.last_beat_at + w.lease > v_now
      and (w.worker_id = me.worker_id
           or (w.worker_id in (  -- who has no room; "is not true" keeps it a hashed set
                   select r.worker_id from scheduler_internal.running r
                   group by r.worker_id
                   having count(*) >= (select k.concurrency from scheduler_internal.workers k
                                       where k.worker_id = r.worker_id))) is not true);
    workers := greatest(workers, 1);
    is_quiet := not exists (
        select from scheduler_internal.rollups r
        where r.minute >= date_trunc('minute', v_now) - interval '1 minute');
end;
$$;

comment on function scheduler.poll_order(uuid) is
    'Among how many idle workers of its kind this one polls, and which of them it is, from 0: so '
    'that they ask in turn; and whether nothing has ended for a minute, so that they need not ask '
    'so often';
