create or replace function scheduler.list_executions(
    status text default null,
    job_id uuid default null,
    queue text default null,
    job_type text default null,
    tag text default null,
    from_time timestamptz default null,
    to_time timestamptz default null,
    error_contains text default null,
    after text default null,
    max_rows integer default 50
)
returns json
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
-- A page of executions, newest first: by the time in their ids, when they were to run at first,
-- which from_time and to_time (not included) bound. Rare matches make short pages, even empty ones,
-- that have a next_cursor all the same.
-- Raises: 22023 for a wrong status, cursor or number of rows.
declare
    v_stages text[] := array['waiting', 'running', 'history'];
    -- An id has room for the times from 1970 to 10889.
    v_oldest constant timestamptz := timestamptz '1970-01-01 00:00+00';
    v_newest constant timestamptz := timestamptz '9999-01-01 00:00+00';
    v_from uuid;
    v_upto uuid;
    v_found record;
begin
    perform scheduler_internal.check_page(max_rows);
    if status is not null then
        perform scheduler_internal.check_choice('status', status,
            '{scheduled,ready,running,succeeded,failed,cancelled,expired}');
        v_stages := array[case when status in ('scheduled', 'ready') then 'waiting'
                               when status = 'running' then 'running'
                               else 'history' end];
    end if;
    begin
        v_upto := least(after::uuid, scheduler_internal.id_floor(
            greatest(v_oldest, least(to_time, v_newest))));
    exception when invalid_text_representation then
        perform scheduler_internal.refuse_cursor(after);
    end;
    v_from := scheduler_internal.id_floor(least(v_newest, greatest(from_time, v_oldest)));
    v_found := scheduler_internal.find_executions(v_stages, status, job_id, queue, job_type, tag,
        error_contains, v_from, v_upto, max_rows);
    return scheduler_internal.page(
        scheduler_internal.show_executions(v_found.execution_ids), v_found.next_id::text);
end;
$$;

comment on function scheduler.list_executions is
    'A page of executions as JSON, newest first: {"items": […], "next_cursor": …}. Give the '
    'cursor as after for the next page. tag: of its job, as it was defined then; error_contains: '
    'in any case of letters. A document of more than 4,000 bytes is {"truncated": true}';
