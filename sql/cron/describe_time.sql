create or replace function scheduler_internal.describe_time(second text, minute text, hour text)
returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of describe: the time of day, from three valid fields.
declare
    v_numbers constant text := '^[0-9]+(,[0-9]+)*$';
    v_times text[];
    v_hours text[];
    v_first integer;
    v_last integer;
    v_step integer;
    v_second text;
    v_time text;
begin
    -- A few times of day are written out.
    if second ~ v_numbers and minute ~ v_numbers and hour ~ v_numbers then
        v_times := array(
            select distinct to_char(
                make_time(h::integer, m::integer, s::integer),
                case when second ~ '^0+$' then 'HH24:MI' else 'HH24:MI:SS' end) as t
            from unnest(string_to_array(hour, ',')) as h,
                unnest(string_to_array(minute, ',')) as m,
                unnest(string_to_array(second, ',')) as s
            order by t);
        if cardinality(v_times) <= 8 then
            return 'at ' || scheduler_internal.join_words(v_times);
        end if;
    end if;

    -- One minute in hours at a regular distance.
    v_hours := regexp_match(hour, '^(?:[*]|([0-9]+)-([0-9]+))(?:/([0-9]+))?$');
    if second ~ '^0+$' and minute ~ '^[0-9]+$' and v_hours is not null then
        v_first := coalesce(v_hours[1], '0')::integer;
        v_step := coalesce(v_hours[3], '1')::integer;
        v_last := v_first + (coalesce(v_hours[2]::integer, 23) - v_first) / v_step * v_step;
        v_time := scheduler_internal.describe_distance(v_step, 'hour');
        if hour like '*%' and 24 % v_step = 0 and v_step < 24 then
            return v_time || case when minute::integer = 0 then '' else
                format(' at minute %s', minute::integer) end;
        elsif v_first = v_last then
            return format('at %s:%s', lpad(v_first::text, 2, '0'), lpad(minute, 2, '0'));
        end if;
        return format('%s from %s:%s to %s:%s', v_time, lpad(v_first::text, 2, '0'),
            lpad(minute, 2, '0'), lpad(v_last::text, 2, '0'), lpad(minute, 2, '0'));
    end if;

    -- A time that is spread all over the day.
    if minute = 'H' and hour = 'H' and second ~ '^(0+|H)$' then
        return 'at a hashed time of day';
    end if;

    v_time := scheduler_internal.describe_part('minute', minute);
    if second !~ '^0+$' then
        v_second := scheduler_internal.describe_part('second', second);
        v_time := case
            when minute <> '*' and v_time like 'at %' then v_second || ' of ' || substr(v_time, 4)
            when minute <> '*' then
                v_second || ' in ' || scheduler_internal.describe_entries('minute', minute)
            when v_second like 'at %' then 'every minute ' || v_second
            else v_second
        end;
    end if;
    if hour = '*' then
        return case
            when v_time like 'at %' then 'every hour ' || v_time
            when v_time like '% of %' then v_time || ' of every hour'
            else v_time
        end;
    elsif minute like '*%' and v_time ~ '(at|of) every [0-9]+[a-z]+ minute$' then
        v_time := v_time || ' of the hour';  -- */45 is 09:00, 09:45, 10:00, not every 45 minutes
    end if;
    if hour ~ '^[0-9,-]+$' then
        return v_time || ' ' || scheduler_internal.join_words(array(
            select format('from %s:00 to %s:59', lpad(split_part(e, '-', 1), 2, '0'),
                lpad(split_part(e, '-', case when e like '%-%' then 2 else 1 end), 2, '0'))
            from unnest(string_to_array(hour, ',')) with ordinality as u(e, n)
            order by n));
    end if;
    return v_time || ' in ' || scheduler_internal.describe_entries('hour', hour);
end
$$;
