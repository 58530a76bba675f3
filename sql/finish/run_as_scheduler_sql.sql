create or replace function scheduler_internal.run_as_scheduler_sql(statement text)
returns bigint
language plpgsql
volatile
security definer
set search_path = public, pg_temp
as $$
-- Owned by scheduler_sql (see grants.sql), so that a job has that role's rights and no others:
-- within a security definer function neither SET ROLE nor COMMIT is possible. The one place where
-- SQL is dynamic.
-- Returns the number of rows.
declare
    v_rows bigint;
begin
    execute statement;
    get diagnostics v_rows = row_count;
    -- What it has deferred to the commit would run there with the rights of whoever commits.
    set constraints all immediate;
    return v_rows;
end;
$$;

comment on function scheduler_internal.run_as_scheduler_sql(text) is
    'Runs the statement of a SQL job with the rights of the role scheduler_sql';
