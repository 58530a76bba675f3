create or replace function scheduler_internal.check_job_name(name text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for a name that is empty, long, or that a terminal or a log would show wrongly.
begin
    if name is null or length(name) not between 1 and 200 or name ~ '[[:cntrl:]]'
       or name <> btrim(name) then
        perform scheduler_internal.refuse(
            format('invalid job name %L', left(name, 80)),
            'A name has 1 to 200 characters, no control characters, and no space at either end.',
            'Choose a shorter, printable name.', argument => 'name');
    end if;
end;
$$;

comment on function scheduler_internal.check_job_name(text) is 'Refuses unprintable job names';
