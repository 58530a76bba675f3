create or replace function scheduler_internal.describe_part(unit text, entries text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of describe: when in the minute or hour, from a valid second or minute field.
declare
    v_step integer := substring(entries from '^[*]/([0-9]+)$')::integer;
    v_words text := scheduler_internal.describe_entries(unit, entries);
begin
    if entries = '*' then
        return 'every ' || unit;
    elsif v_step < 60 and 60 % v_step = 0 then
        return scheduler_internal.describe_distance(v_step, unit);
    elsif entries ~ '^[0-9]+$' then
        return format('at %s %s', unit, v_words);
    elsif entries ~ '^[0-9,-]+$' then
        return format('at %ss %s', unit, v_words);
    end if;
    return 'at ' || v_words;
end
$$;
