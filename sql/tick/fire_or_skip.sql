create or replace function scheduler_internal.fire_or_skip(
    s scheduler_internal.schedules,
    fire_at timestamptz,
    following timestamptz,
    at timestamptz
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Fires one instant, unless an earlier fire of the job has not ended: the overlap policy. Returns
-- whether it fired; if not, the caller skips it.
-- Locks: as cancel_fires() where overlap is cancel_running. The caller holds the schedule row. What
-- we find alive may end before we commit, and then the fire that we hold for it is let go by
-- finish() or reap(); what we find ended comes back only by hand.
-- Writes: waiting; where overlap is cancel_running, as cancel_fires().
declare
    v_held boolean := false;
    v_skip boolean := false;
begin
    if s.overlap <> 'allow' and scheduler_internal.is_alive(s.shard, s.job_id) then
        case s.overlap
            when 'skip' then
                v_skip := true;
            when 'queue_one' then
                v_skip := exists (
                    select from scheduler_internal.waiting w
                    where w.shard = s.shard and w.job_id = s.job_id and w.fire_at is not null
                      and w.origin = 'f' and w.run_at = 'infinity');
                v_held := true;
            when 'cancel_running' then
                perform scheduler_internal.cancel_fires(s.shard, s.job_id, at);
                v_held := scheduler_internal.is_alive(s.shard, s.job_id);
        end case;
    end if;
    if v_skip then
        return false;
    end if;
    perform scheduler_internal.insert_fires(s.shard, 'f', array[s.job_id], array[fire_at],
        array[following], at, v_held);
    return true;
end;
$$;

comment on function scheduler_internal.fire_or_skip(
    scheduler_internal.schedules, timestamptz, timestamptz, timestamptz) is
    'Fires one instant under the overlap policy of its job';
