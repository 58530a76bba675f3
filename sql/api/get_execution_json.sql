create or replace function scheduler.get_execution_json(execution_id uuid)
returns json
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set intervalstyle = 'postgres'
as $$
    select scheduler_internal.show_executions(array[execution_id], brief => false) -> 0
$$;

comment on function scheduler.get_execution_json(uuid) is
    'An execution as JSON: a row of the view executions, times in UTC; null when there is none';
