create or replace function scheduler_internal.parse_field(
    schedule text,
    field text,
    entries text,
    hash_key text
) returns integer[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The values of one cron field: a list of `*`, numbers, names, ranges and H forms, with steps.
-- Raises: 22023 with the field, the entry and what to write instead.
declare
    v_low integer := case field
        when 'day-of-month' then 1 when 'month' then 1 when 'year' then 1970 else 0 end;
    v_high integer := case field
        when 'second' then 59 when 'minute' then 59 when 'hour' then 23
        when 'day-of-month' then 31 when 'month' then 12 when 'day-of-week' then 7
        when 'year' then 2199 end;
    v_star_high integer := case field when 'day-of-week' then 6 else v_high end;
    v_entry text;
    v_parts text[];
    v_from integer;
    v_to integer;
    v_step integer;
    v_restart integer;
    v_values integer[] := '{}'::integer[];
begin
    foreach v_entry in array regexp_split_to_array(entries, ',') loop
        v_parts := regexp_match(v_entry,
            '^(?:([*])|([0-9A-Za-z]+)(?:-([0-9A-Za-z]+))?)(?:/([0-9]{1,4}))?$');
        if v_entry like 'H%' then
            v_values := v_values
                || scheduler_internal.parse_hashed(schedule, field, v_entry, hash_key, v_low,
                    case field when 'day-of-month' then 28 else v_star_high end, v_high);
            continue;
        elsif v_parts is null then
            perform scheduler_internal.refuse_schedule(
                schedule,
                case v_entry
                    when '' then format('%s field: an entry of the list is empty', field)
                    else format('%s field: "%s" is not understood', field, v_entry)
                end,
                case when v_entry ~ '^/' then format('Write "*%s".', v_entry)
                    when v_entry ~ '[?]' then
                        'Write "?" only as a whole day field; of six fields the first is seconds.'
                    when v_entry ~ '^[+]' then
                        'Write "+" only as the first character of the day-of-week field.'
                end);
        elsif v_parts[1] is not null then
            v_from := v_low;
            v_to := v_star_high;
        else
            v_from := scheduler_internal.parse_value(schedule, field, v_parts[2], v_low, v_high);
            v_to := v_from;
            if v_parts[3] is not null then
                v_to := scheduler_internal.parse_value(
                    schedule, field, v_parts[3], v_low, v_high);
                -- FRI-SUN: as the end of a range Sunday is 7.
                if field = 'day-of-week' and upper(v_parts[3] collate "C") = 'SUN' and v_from > 0
                then
                    v_to := 7;
                end if;
            elsif v_parts[4] is not null then
                perform scheduler_internal.refuse_schedule(
                    schedule,
                    format('%s field: "%s": a step needs "*" or a range', field, v_entry),
                    format('Write "%s-%s/%s".',
                        v_parts[2], greatest(v_star_high, v_from), v_parts[4]));
            end if;
        end if;
        v_step := coalesce(v_parts[4]::integer, 1);
        if v_step = 0 then
            perform scheduler_internal.refuse_schedule(
                schedule,
                format('%s field: "%s" has a step of 0', field, v_entry),
                'Write a step of 1 or more.');
        elsif v_to < v_from then
            -- Where the steps go on in the second range: 21-3/2 is 21-23/2,1-3/2.
            v_restart := v_low + v_step - 1 - (v_star_high - v_from) % v_step;
            perform scheduler_internal.refuse_schedule(
                schedule,
                format('%s field: the range "%s" runs backwards', field, v_entry),
                replace(case
                    when field = 'year' then format('Write "%s-%s/n".', v_parts[3], v_parts[2])
                    when v_from = 7 and field = 'day-of-week' then
                        format('Write "0-%s/n".', v_parts[3])
                    when v_restart > v_to then
                        format('Write "%s-%s/n".', v_parts[2], v_star_high)
                    else format('Write two ranges: "%s-%s/n,%s-%s/n".', v_parts[2], v_star_high,
                        v_restart, v_parts[3])
                end, '/n', coalesce('/' || v_parts[4], '')));
        end if;
        v_values := v_values || array(select generate_series(v_from, v_to, v_step));
    end loop;
    return v_values;
end
$$;
