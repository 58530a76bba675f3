-- Without SET and no stricter than what it calls, so that it is inlined.
create or replace function scheduler_internal.target_keys(job_type text)
returns text[]
language sql
immutable
parallel safe
as $$
    select case job_type
        when 'sql' then array['statement']
        when 'http' then array['url', 'method', 'headers', 'body']
        when 'python' then array['handler']
        when 'command' then array['shell', 'args', 'env', 'stdin', 'cwd']
    end
$$;

comment on function scheduler_internal.target_keys(text) is
    'What the target of a job type consists of; a string is short for the first. Null: no such '
    'type';
