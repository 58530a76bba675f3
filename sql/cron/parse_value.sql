create or replace function scheduler_internal.parse_value(
    schedule text,
    field text,
    token text,
    low integer,
    high integer
) returns integer
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- One number or three-letter name of a cron field.
-- Raises: 22023 when it is neither, or outside low..high.
declare
    v_value integer;
begin
    if token ~ '^[0-9]{1,4}$' then
        v_value := token::integer;
    elsif field = 'month' then
        v_value := array_position(
            '{JAN,FEB,MAR,APR,MAY,JUN,JUL,AUG,SEP,OCT,NOV,DEC}', upper(token collate "C"));
    elsif field = 'day-of-week' then
        v_value := array_position(
            '{SUN,MON,TUE,WED,THU,FRI,SAT}', upper(token collate "C")) - 1;
    end if;
    if v_value is null then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('%s field: "%s" is not a value', field, token),
            case
                when field = 'day-of-week' then 'Write 0-7 or SUN, MON, TUE, WED, THU, FRI, SAT.'
                when field = 'month' then
                    'Write 1-12 or JAN, FEB, MAR, APR, MAY, JUN, JUL, AUG, SEP, OCT, NOV, DEC.'
                else format('Write a number from %s to %s.', low, high)
            end);
    elsif v_value not between low and high then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('%s field: %s is outside %s-%s', field, token, low, high),
            format('Write a number from %s to %s.', low, high));
    end if;
    return v_value;
end
$$;
