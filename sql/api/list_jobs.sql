create or replace function scheduler.list_jobs(
    name_prefix text default null,
    job_type text default null,
    queue text default null,
    tag text default null,
    paused boolean default null,
    after text default null,
    max_rows integer default 50
)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
-- A page of jobs, by name (in the order of its bytes, capitals first: the same on every server).
-- Raises: 22023 for a wrong number of rows.
declare
    v_found record;
begin
    perform scheduler_internal.check_page(max_rows);
    v_found := scheduler_internal.find_jobs(
        name_prefix, job_type, queue, tag, paused, coalesce(after, ''), max_rows);
    return scheduler_internal.page(
        scheduler_internal.show_jobs(v_found.job_ids), v_found.next_name);
end;
$$;

comment on function scheduler.list_jobs is
    'A page of jobs as JSON, by name: {"items": […], "next_cursor": …}. Give the cursor as after '
    'for the next page. A document of more than 4,000 bytes is {"truncated": true}';
