create or replace function scheduler_internal.check_version(version integer, expected integer)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: JB004 where a version is expected and the job, locked by the caller, is at another; a
-- version of 0 stands for a job that is not there, an expected -1 for any of one that is, -2 for
-- none of any job: an ETag that is not ours.
begin
    if (expected = -1 and version = 0) or (expected <> -1 and version <> expected) then
        perform scheduler_internal.refuse(
            case expected when -1 then 'the job does not exist'
                          when -2 then 'the job is not at the version that is expected'
                          else format('the job is not at version %s', expected) end,
            case version when 0 then 'There is no such job.'
                         else format('It is at version %s.', version) end,
            'Read it again and decide anew.', 'JB004', 'expected_version');
    end if;
end;
$$;

comment on function scheduler_internal.check_version(integer, integer) is
    'Refuses a change that was decided on another version of the job';
