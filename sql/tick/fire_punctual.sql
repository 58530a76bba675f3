create or replace function scheduler_internal.fire_punctual(
    shard integer,
    at timestamptz,
    max_fires integer
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Fires the schedules of a shard that have just one instant due, on time, with no execution of
-- theirs in the way: nearly all, so that they go as a set. Leaves the others due, for
-- fire_schedule().
-- Locks: due schedule rows, SKIP LOCKED. Writes: waiting, schedules. Returns how many fired.
declare
    v_job_ids uuid[];
    v_fire_ats timestamptz[];
    v_followings timestamptz[];
begin
    with due as materialized (
        select s.job_id, s.next_fire_at, s.ends_at, s.misfire, s.misfire_window, s.overlap,
               scheduler_internal.next_instant(s.spec, s.timezone, s.next_fire_at) as following
        from scheduler_internal.schedules s
        where s.shard = fire_punctual.shard and s.next_fire_at <= at
        order by s.next_fire_at
        limit max_fires
        for update skip locked
    )
    select array_agg(d.job_id), array_agg(d.next_fire_at), array_agg(d.following)
    into v_job_ids, v_fire_ats, v_followings
    from due d
    where (d.following is null or d.following > coalesce(least(at, d.ends_at), at))
      -- is_alive(), written out: a function that holds a subquery is not inlined (20 us a row
      -- instead of 3).
      and (d.overlap = 'allow' or not exists (
               select from scheduler_internal.running r
               where r.shard = fire_punctual.shard and r.job_id = d.job_id
                 and r.fire_at is not null and r.origin = 'f')
           and not exists (
               select from scheduler_internal.waiting w
               where w.shard = fire_punctual.shard and w.job_id = d.job_id
                 and w.fire_at is not null and w.origin = 'f'))
      and d.next_fire_at >= coalesce(
              at - coalesce(d.misfire_window,
                            case when d.misfire = 'skip'
                                 then scheduler_internal.misfire_grace() end),
              d.next_fire_at);

    if v_job_ids is null then
        return 0;
    end if;
    perform scheduler_internal.insert_fires(
        shard, 'f', v_job_ids, v_fire_ats, v_followings, at, held => false);
    update scheduler_internal.schedules s
    set next_fire_at = case when d.following <= coalesce(s.ends_at, d.following)
                            then d.following end,
        last_fire_at = d.fire_at
    from unnest(v_job_ids, v_fire_ats, v_followings) d(job_id, fire_at, following)
    where s.shard = fire_punctual.shard and s.job_id = d.job_id;
    return cardinality(v_job_ids);
end;
$$;

comment on function scheduler_internal.fire_punctual(integer, timestamptz, integer) is
    'The set-based half of a tick: schedules with one instant due, on time and unhindered';
