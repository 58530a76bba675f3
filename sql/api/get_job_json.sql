create or replace function scheduler.get_job_json(job_id uuid)
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    select scheduler_internal.show_jobs(array[job_id], brief => false) -> 0
$$;

comment on function scheduler.get_job_json(uuid) is
    'A job as JSON: a row of the view jobs, times in UTC; null when there is none';
