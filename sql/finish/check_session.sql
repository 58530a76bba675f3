-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.check_session(text, text, text);

create or replace function scheduler_internal.check_session(
    state_before text,
    held_before text[],
    path_before text,
    path_now text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 55000 when a SQL job has left something behind in a session that is not its own.
begin
    if path_now <> path_before or scheduler_internal.session_state() <> state_before
       or scheduler_internal.tidy_session(held_before) then
        perform scheduler_internal.refuse(
            'the job changes the session that it runs in',
            'It leaves a setting, a cursor, a temporary object, a prepared statement or a lock '
            'behind in the session of whoever called scheduler.run_sql_jobs, or takes one away.',
            'Undo that at the end of the statement, or have a worker run the job: it gives each a '
            'session of its own.', '55000');
    end if;
end;
$$;

comment on function scheduler_internal.check_session(text, text[], text, text) is
    'Refuses what a SQL job has left behind in the session of its caller';
