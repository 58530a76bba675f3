create or replace function scheduler_internal.refuse_schedule(
    schedule text,
    detail text,
    hint text default null
) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023, with the schedule cut to one readable line.
begin
    raise exception using
        errcode = '22023',
        column = 'schedule',
        message = format('invalid schedule "%s"',
            regexp_replace(left(schedule, 100), '[[:cntrl:]]', ' ', 'g')
                || case when length(schedule) > 100 then '…' else '' end),
        detail = left(detail, 500),
        hint = coalesce(hint, 'Write five fields: minute hour day-of-month month day-of-week;'
            ' six put the second first, seven the year last.');
end
$$;
