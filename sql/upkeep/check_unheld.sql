create or replace function scheduler_internal.check_unheld(day date)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Before a day of the history is read as a whole, to know whether it may go: could it be dropped?
-- Else it would be read again with every call while somebody's transaction holds it. So it is
-- dropped, and that is undone.
-- Locks: history and the day, exclusively; let go at once, undone with what took them.
-- Raises: 55P03 where they are not to be had within the caller's lock_timeout.
begin
    execute format('drop table if exists scheduler_internal.%I',
                   to_char(day, '"history_"YYYYMMDD'));
    raise transaction_rollback;
exception when transaction_rollback then
    null;
end;
$$;

comment on function scheduler_internal.check_unheld(date) is
    'Refuses a day of the history that could not be dropped now, because somebody holds it';
