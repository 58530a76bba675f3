create or replace function scheduler_internal.parse_weekdays(
    schedule text,
    entries text,
    hash_key text,
    out dow integer,
    out nth bigint
)
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The day-of-week field without its `+`: plain values (dow, Sunday = bit 0) and `d#n`, `d#L`,
-- `dL` (nth: seven bits for each n, the last seven for L).
-- Raises: 22023.
declare
    v_entry text;
    v_parts text[];
    v_plain text[];
    v_weekday integer;
begin
    nth := 0;
    foreach v_entry in array regexp_split_to_array(entries, ',') loop
        v_parts := coalesce(
            regexp_match(v_entry, '^([0-9A-Za-z]+)#([1-5L])$'),
            regexp_match(v_entry, '^([0-9]|[A-Za-z]{3})(L)$'));
        if v_parts is not null then
            v_weekday := scheduler_internal.parse_value(
                schedule, 'day-of-week', v_parts[1], 0, 7) % 7;
            nth := nth | (1::bigint << (
                v_weekday + 7 * case v_parts[2] when 'L' then 5 else v_parts[2]::integer - 1 end));
        elsif v_entry ~ '#' or v_entry = 'L' then
            perform scheduler_internal.refuse_schedule(
                schedule,
                format('day-of-week field: "%s" is not understood', v_entry),
                'Write one weekday, "#" and 1-5 or L, such as "MON#2" or "FRI#L".');
        else
            v_plain := v_plain || v_entry;
        end if;
    end loop;
    dow := 0;
    if v_plain is not null then
        dow := scheduler_internal.bit_mask(
            scheduler_internal.parse_field(
                schedule, 'day-of-week', array_to_string(v_plain, ','), hash_key));
    end if;
    dow := (dow | (dow >> 7)) & 127;
end
$$;
