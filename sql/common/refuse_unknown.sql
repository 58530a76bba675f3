create or replace function scheduler_internal.refuse_unknown(kind text, id uuid)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises P0002: there is no such job or execution.
begin
    perform scheduler_internal.refuse(
        format('%s %s does not exist', kind, coalesce(id::text, 'null')),
        format('No %s has this id; it was deleted, its history has been dropped, or it never was.',
               kind),
        format('List what there is: select * from scheduler.%ss', kind),
        'P0002');
end;
$$;

comment on function scheduler_internal.refuse_unknown(text, uuid) is
    'Raises no_data_found for the id of a job or an execution';
