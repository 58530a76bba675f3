create or replace function scheduler.now()
returns timestamptz
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The one clock. The setting scheduler.fake_now moves it, so that a test lives through a year in
-- seconds; only in a database that allows it, which no session can say for itself (asked as in
-- database_setting(), which readers of a view may not call, and only when a time is claimed). A
-- call reads it once and passes it on: within one call there is one time. Stable, though the clock
-- runs on: within one statement there is one time too, and a view that asks for it stays open to
-- the planner.
declare
    v_fake constant text := current_setting('scheduler.fake_now', true);
begin
    if v_fake <> '' then  -- two conditions: one that holds a query takes 6 us more, also unasked
        if exists (
            select from pg_db_role_setting s
            join pg_database d on d.oid = s.setdatabase
            where d.datname = current_database() and s.setrole = 0
              and 'scheduler.fake_clock=on' = any (s.setconfig)
        ) then
            return v_fake::timestamptz;
        end if;
    end if;
    return clock_timestamp();
end;
$$;

comment on function scheduler.now() is
    'The database''s clock, the only one that pgtick goes by. The setting scheduler.fake_now moves '
    'it in tests, where the database has the setting scheduler.fake_clock = on';
