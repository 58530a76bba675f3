create or replace function scheduler_internal.describe_entries(field text, entries text)
returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- Part of describe: the list of a valid cron field.
declare
    v_unit text := case field
        when 'day-of-month' then 'day' when 'day-of-week' then 'day of the week' else field end;
    v_nth text[] := array['first', 'second', 'third', 'fourth', 'fifth'];
    v_entry text;
    v_parts text[];
    v_every text;
    v_words text[];
begin
    foreach v_entry in array string_to_array(entries, ',') loop
        -- Star, bare H, range of H, number or range; step.
        v_parts := regexp_match(v_entry, '^(?:([*?])|(H)|H[(]([0-9]+-[0-9]+)[)]'
            '|([0-9A-Za-z]+(?:-[0-9A-Za-z]+)?))(?:/([0-9]+))?$');
        if v_entry = 'L' then
            v_words := v_words || 'the last day'::text;
        elsif v_entry = 'L-1' then
            v_words := v_words || 'the day before the last day'::text;
        elsif v_entry like 'L-%' then
            v_words := v_words || format('the day %s days before the last day',
                substr(v_entry, 3)::integer);
        elsif v_entry = 'LW' then
            v_words := v_words || 'the last working day'::text;
        elsif v_entry ~ '^[0-9]+W$' then
            v_words := v_words || ('the working day nearest '
                || scheduler_internal.describe_value(field, rtrim(v_entry, 'W')));
        elsif v_entry ~ '(#.|^([0-9]|[A-Za-z]{3})L)$' and field = 'day-of-week' then
            v_words := v_words || format('the %s %s of the month',
                coalesce(v_nth[substring(v_entry from '#([1-5])$')::integer], 'last'),
                scheduler_internal.describe_value(field, regexp_replace(v_entry, '#?.$', '')));
        else
            v_every := case
                when coalesce(v_parts[5]::integer, 1) = 1 then 'every '
                else format('every %s ', scheduler_internal.ordinal(v_parts[5]::integer))
            end || v_unit;
            v_words := v_words || case
                when v_parts[1] is not null then v_every
                when v_parts[4] is not null and v_parts[5] is null then
                    scheduler_internal.describe_range(field, v_parts[4])
                when v_parts[4] is not null then
                    v_every || ' from ' || scheduler_internal.describe_range(field, v_parts[4])
                else
                    case when v_parts[5] is null then 'a hashed ' || v_unit else v_every end
                    || coalesce(
                        ' from ' || scheduler_internal.describe_range(field, v_parts[3]), '')
                    || case when v_parts[5] is null then '' else ' with a hashed start' end
            end;
        end if;
    end loop;
    -- Each once: `0,7` names Sunday twice.
    return scheduler_internal.join_words(array(
        select w from unnest(v_words) with ordinality as u (w, n) group by w order by min(n)));
end
$$;
