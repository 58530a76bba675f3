create or replace function scheduler_internal.check_held(execution_ids uuid[], attempts integer[])
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 where an execution is named without its attempt: it would count as not named at
-- all, and heartbeat() would give away what runs.
begin
    if coalesce(cardinality(execution_ids), 0) <> coalesce(cardinality(attempts), 0)
       or array_position(attempts, null) is not null then
        perform scheduler_internal.refuse(
            'execution_ids and attempts do not fit',
            format('There are %s execution_ids and %s attempts.',
                   coalesce(cardinality(execution_ids), 0),
                   coalesce(cardinality(array_remove(attempts, null)), 0)),
            'Give one attempt for each, as claim returned them.', argument => 'attempts');
    end if;
end;
$$;

comment on function scheduler_internal.check_held(uuid[], integer[]) is
    'Refuses executions that are named without their attempts';
