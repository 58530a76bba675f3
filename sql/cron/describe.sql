create or replace function scheduler.describe(schedule text) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
-- A schedule in words, such as "every 15 minutes from 09:00 to 17:59 on Monday to Friday".
-- Raises: 22004, 22023 for what compile_schedule refuses.
declare
    -- Any key will do: what `H` stands for is described, not computed.
    v_spec scheduler_internal.schedule_spec := scheduler_internal.compile_schedule(
        schedule => schedule, hash_key => 'describe');
    v_text text := btrim(schedule, E' \t');
    v_fields text[];
    v_time text;
    v_days text;
begin
    if v_spec.step is not null then
        return scheduler_internal.describe_every(v_text, v_spec.step);
    end if;
    v_fields := regexp_split_to_array(
        scheduler_internal.expand_nickname(schedule, v_text), E'[ \t]+');
    if cardinality(v_fields) = 5 then
        v_fields := array_prepend('0', v_fields);
    end if;
    v_time := scheduler_internal.describe_time(v_fields[1], v_fields[2], v_fields[3]);
    v_days := scheduler_internal.describe_days(
        v_fields[4], v_fields[5], v_fields[6], v_spec.flags & 1 <> 0);
    if v_days = '' and v_time like 'at %' then
        v_days := ' every day';
    end if;
    return v_time || v_days || case
        when v_spec.years is not null then
            ' in ' || scheduler_internal.describe_entries('year', v_fields[7])
        else ''
    end;
end
$$;

comment on function scheduler.describe(text) is 'A schedule in words.';
