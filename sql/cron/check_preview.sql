create or replace function scheduler_internal.check_preview(n integer, after timestamptz)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 for a number or time that is out of range.
begin
    if n is null or n not between 1 and 10000 then
        perform scheduler_internal.refuse(
            format('n is %s', coalesce(n::text, 'null')), 'It is how many instants to show.',
            'Ask for 1 to 10000 instants.', argument => 'n');
    elsif after not between timestamptz '1900-01-01 00:00+00' and '9000-01-01 00:00+00' then
        perform scheduler_internal.refuse(
            format('after is %s', after), 'Schedules are computed for the years 1900 to 8999.',
            'Give a time in these years.', argument => 'after');
    end if;
end
$$;

comment on function scheduler_internal.check_preview(integer, timestamptz) is
    'Refuses a preview of no or too many instants, or of another age';
