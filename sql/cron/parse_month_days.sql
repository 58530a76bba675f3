create or replace function scheduler_internal.parse_month_days(
    schedule text,
    entries text,
    hash_key text,
    out dom bigint,
    out lom bigint,
    out wd bigint
)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The day-of-month field: plain values (dom), `L` and `L-n` (lom), `LW` and `nW` (wd).
-- Raises: 22023.
declare
    v_entry text;
    v_plain text[];
    v_day integer;
begin
    lom := 0;
    wd := 0;
    foreach v_entry in array regexp_split_to_array(entries, ',') loop
        if v_entry = 'L' then
            lom := lom | (1::bigint << 31);
        elsif v_entry ~ '^L-[0-9]{1,4}$' then
            v_day := substr(v_entry, 3)::integer;
            if v_day not between 1 and 30 then
                perform scheduler_internal.refuse_schedule(
                    schedule,
                    format('day-of-month field: "%s" is outside L-1 to L-30', v_entry),
                    'Write "L" for the last day, "L-1" for the day before it.');
            end if;
            lom := lom | (1::bigint << (31 - v_day));
        elsif v_entry = 'LW' then
            wd := wd | 1;
        elsif v_entry ~ '^[0-9]{1,4}W$' then
            v_day := scheduler_internal.parse_value(
                schedule, 'day-of-month', rtrim(v_entry, 'W'), 1, 31);
            if v_entry <> entries then
                perform scheduler_internal.refuse_schedule(
                    schedule,
                    format('day-of-month field: "%s" cannot be part of a list', v_entry),
                    'Make one job for each.');
            end if;
            wd := 1::bigint << v_day;
        else
            v_plain := v_plain || v_entry;
        end if;
    end loop;
    dom := 0;
    if v_plain is not null then
        dom := scheduler_internal.bit_mask(
            scheduler_internal.parse_field(
                schedule, 'day-of-month', array_to_string(v_plain, ','), hash_key));
    end if;
end
$$;
