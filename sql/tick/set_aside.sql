create or replace function scheduler_internal.set_aside(shard integer, job_id uuid, reason text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A schedule that cannot be computed (its zone has vanished, its row was written by hand) must
    -- not stop the others. Its instants stay undecided until resume_job(). Writes: schedules.
    update scheduler_internal.schedules s
    set set_aside_at = coalesce(s.next_fire_at, s.set_aside_at), next_fire_at = null,
        broken_reason = reason
    where s.shard = set_aside.shard and s.job_id = set_aside.job_id
$$;

comment on function scheduler_internal.set_aside(integer, uuid, text) is
    'Takes a broken schedule out of the ticks, with its reason; health() shows it, resume_job() '
    'tries it again';
