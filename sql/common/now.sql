create or replace function scheduler.now()
returns timestamptz
language plpgsql
stable
parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The one clock. The setting scheduler.fake_now moves it, so that a test lives through a year in
-- seconds. A call reads it once and passes it on: within one call there is one time. Stable, though
-- the clock runs on: within one statement there is one time too, and a view that asks for it stays
-- open to the planner.
begin
    return coalesce(
        nullif(current_setting('scheduler.fake_now', true), '')::timestamptz,
        clock_timestamp()
    );
end;
$$;

comment on function scheduler.now() is
    'The database''s clock, the only one that pgtick goes by. The setting scheduler.fake_now moves '
    'it in tests';
