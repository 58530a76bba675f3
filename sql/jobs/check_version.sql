create or replace function scheduler_internal.check_version(version integer, expected integer)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: JB004 where a version is expected and the job, locked by the caller, is at another; 0
-- stands for a job that is not there.
begin
    if version <> expected then
        perform scheduler_internal.refuse(
            format('the job is not at version %s', expected),
            case version when 0 then 'There is no such job.'
                         else format('It is at version %s.', version) end,
            'Read it again and decide anew.', 'JB004', 'expected_version');
    end if;
end;
$$;

comment on function scheduler_internal.check_version(integer, integer) is
    'Refuses a change that was decided on another version of the job';
