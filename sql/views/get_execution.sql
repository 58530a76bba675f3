create or replace function scheduler.get_execution(execution_id uuid)
returns setof scheduler.executions
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    -- The id tells the shard and the day: one partition of each table.
    select e.* from scheduler.executions e
    where e.shard = scheduler.get_shard_id(get_execution.execution_id)
      and e.execution_id = get_execution.execution_id
$$;

comment on function scheduler.get_execution(uuid) is
    'One execution by its id: a row of the view executions, or none. Touches one partition of each '
    'table';
