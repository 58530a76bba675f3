create or replace function scheduler_internal.check_schedules(at timestamptz)
returns table (check_name text, status text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'schedules', case when count(*) = 0 then 'ok' else 'fail' end,
           case when count(*) = 0 then 'none is set aside'
                else format('%s set aside as broken: %s', count(*),
                            left(string_agg(format('%s (%s)', j.name, s.broken_reason), '; '),
                            1000)) end,
           'Correct the job with scheduler.update_job, then call scheduler.resume_job.'
    from scheduler_internal.schedules s
    join scheduler_internal.jobs j on j.shard = s.shard and j.job_id = s.job_id
    where s.broken_reason is not null
$$;

comment on function scheduler_internal.check_schedules(timestamptz) is
    'health(): is a schedule broken?';
