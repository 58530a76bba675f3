create or replace function scheduler_internal.mark(mark_name text, at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- At most one write in five seconds, and never a wait: whoever has the row marks it himself.
begin
    update scheduler_internal.marks m set at = mark.at
    where m.name = (
        select k.name from scheduler_internal.marks k
        where k.name = mark_name
          and (k.at is null or k.at <= mark.at - interval '5 seconds' or k.at > mark.at)
        for update skip locked);
end;
$$;

comment on function scheduler_internal.mark(text, timestamptz) is
    'Notes that something has happened, if that was not noted just now';
