create or replace function scheduler_internal.check_definition(
    definition scheduler_internal.job_definition
)
returns scheduler_internal.job_definition
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
-- Returns the definition in its normal form (target as a document, zone in its canonical spelling).
-- Raises: 22023 for the first thing in it that is wrong. The schedule itself is compile_schedule's.
declare
    v scheduler_internal.job_definition := definition;
begin
    v.target := scheduler_internal.check_target(v.job_type, v.target);
    v.timezone := scheduler_internal.check_time_zone(v.timezone);
    perform scheduler_internal.check_document('target', v.target);
    perform scheduler_internal.check_document('payload', v.payload);
    perform scheduler_internal.check_policy(v.queue, v.priority, v.max_attempts, v.backoff,
        v.backoff_base, v.backoff_max, v.timeout, v.expires_after);
    perform scheduler_internal.check_choice('misfire', v.misfire, '{skip,fire_once,fire_all}');
    perform scheduler_internal.check_choice('overlap', v.overlap,
        '{allow,skip,queue_one,cancel_running}');
    perform scheduler_internal.check_choice('dst', v.dst, '{debian,wall,skip}');
    if v.misfire = 'fire_all' and v.overlap = 'skip' and v.schedule is not null then
        raise warning using
            message = 'of several missed fires, overlap skip runs only the first',
            detail = 'misfire is fire_all, but the others are due while the first runs.',
            hint = 'Use overlap allow, or misfire fire_once.';
    end if;
    if v.misfire_window <= '0' or v.misfire_window > '100 years' then
        perform scheduler_internal.refuse(
            format('misfire_window %s is out of range', v.misfire_window),
            'It is how late a fire may be and still run: more than zero, and at most 100 years.',
            'Leave it null for any lateness.', argument => 'misfire_window');
    end if;
    if v.misfire_cap not between 1 and 10000 then
        perform scheduler_internal.refuse(
            format('misfire_cap %s is out of range', v.misfire_cap),
            'It is the most missed fires that fire_all runs, 1 to 10000.',
            'Leave it null for all.', argument => 'misfire_cap');
    end if;
    if v.jitter is null or v.jitter not between '0' and interval '1 day' then
        perform scheduler_internal.refuse(
            format('jitter %s is out of range', coalesce(v.jitter::text, 'null')),
            'It is 0 to 1 day.', 'Use ''0'' for none.', argument => 'jitter');
    end if;
    if not isfinite(v.starts_at) or not isfinite(v.ends_at) or v.starts_at > v.ends_at then
        perform scheduler_internal.refuse(
            'starts_at and ends_at do not fit',
            format('starts_at is %s, ends_at is %s.', v.starts_at, v.ends_at),
            'Give finite times, starts_at first; null for no bound.',
            argument => case when not isfinite(v.starts_at) then 'starts_at' else 'ends_at' end);
    end if;
    v.tags := coalesce(v.tags, '{}');
    if cardinality(v.tags) > 50 or exists (
           select from unnest(v.tags) t where t is null or t = '' or length(t) > 100) then
        perform scheduler_internal.refuse(
            'invalid tags', 'A job has at most 50 tags of 1 to 100 characters each.',
            'Shorten the list or the tag.', argument => 'tags');
    end if;
    return v;
end;
$$;

comment on function scheduler_internal.check_definition(scheduler_internal.job_definition) is
    'A job definition in its normal form, or an error that names what is wrong with it';
