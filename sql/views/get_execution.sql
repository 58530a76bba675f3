create or replace function scheduler.get_execution(execution_id uuid)
returns setof scheduler.executions
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off
as $$
-- The id tells the shard and the day: one partition of each table. Planned for the id at hand: a
-- plan for any id locks all partitions before it leaves out all but one (237 locks instead of 21).
-- By its keys also where no statistics tell yet that a table has grown.
begin
    return query
    select e.* from scheduler.executions e
    where e.shard = scheduler.get_shard_id(get_execution.execution_id)
      and e.execution_id = get_execution.execution_id;
end;
$$;

comment on function scheduler.get_execution(uuid) is
    'One execution by its id: a row of the view executions, or none. Touches one partition of each '
    'table';
