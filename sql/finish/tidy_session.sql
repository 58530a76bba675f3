create or replace function scheduler_internal.tidy_session(held_before text[])
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set client_min_messages = error
as $$
-- Takes from this session the prepared statements and the locks that it did not hold before a SQL
-- job. Returns whether there were any, or it holds something no more. A lock that the commit will
-- release is left, and is none: only to try tells it apart, of which the server's log has a
-- warning.
declare
    v_found constant text[] := array(
        select h.holding from scheduler_internal.session_holdings() h);
    v_undo text;
    v_rows bigint;
begin
    for v_undo in
        select h.undo from scheduler_internal.session_holdings() h
        where h.holding <> all (held_before)
    loop
        loop
            execute v_undo;
            get diagnostics v_rows = row_count;
            exit when v_rows = 0;
        end loop;
    end loop;
    return not (held_before || v_found) <@ array(
        select h.holding from scheduler_internal.session_holdings() h);
end;
$$;

comment on function scheduler_internal.tidy_session(text[]) is
    'Undoes what a SQL job has left behind in a session and no rollback takes from it';
