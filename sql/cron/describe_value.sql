create or replace function scheduler_internal.describe_value(field text, token text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of describe: one valid number or name of a cron field.
declare
    v_value integer := scheduler_internal.parse_value(token, field, token, 0, 2199);
begin
    return case field
        when 'day-of-month' then 'the ' || scheduler_internal.ordinal(v_value)
        when 'month' then to_char(make_date(2000, v_value, 1), 'FMMonth')
        -- 2000-01-02 was a Sunday.
        when 'day-of-week' then to_char(date '2000-01-02' + v_value % 7, 'FMDay')
        else v_value::text
    end;
end
$$;
