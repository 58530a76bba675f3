create or replace function scheduler_internal.parse_hashed(
    schedule text,
    field text,
    entry text,
    hash_key text,
    low integer,
    high integer,
    range_high integer
) returns integer[]
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The values of `H`, `H(a-b)`, `H/n` or `H(a-b)/n`: spread over low..high (within which a
-- hashed day of the month exists in every month) or a..b (up to range_high) by the hash key.
-- Raises: 22023 without a key, for the year, and for a range or step that is wrong.
declare
    v_parts text[] := regexp_match(
        entry, '^H(?:[(]([0-9]{1,4})-([0-9]{1,4})[)])?(?:/([0-9]{1,4}))?$');
    v_from integer := coalesce(v_parts[1]::integer, low);
    v_to integer := coalesce(v_parts[2]::integer, high);
    v_step integer := v_parts[3]::integer;
begin
    if v_parts is null or field = 'year' then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('%s field: "%s" is not understood', field, entry),
            'Write "H", "H(a-b)", "H/n" or "H(a-b)/n", in any field but the year.');
    elsif hash_key is null then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('%s field: "H" is drawn from the job''s name, and there is none here', field),
            'Create the job and look at its next_fire_at, or write a number instead of "H".');
    elsif v_from < low or v_to > range_high or v_from >= v_to then
        perform scheduler_internal.refuse_schedule(
            schedule,
            format('%s field: the range of "%s" is not within %s-%s', field, entry, low,
                range_high),
            'Write "H(a-b)" with a smaller than b.');
    elsif v_step = 0 then
        perform scheduler_internal.refuse_schedule(
            schedule, format('%s field: "%s" has a step of 0', field, entry),
            'Write a step of 1 or more.');
    end if;
    if v_step is null then
        return array[
            v_from + scheduler_internal.hash_slot(hash_key, field, v_to - v_from + 1)];
    end if;
    return array(
        select generate_series(
            v_from
                + scheduler_internal.hash_slot(hash_key, field, least(v_step, v_to - v_from + 1)),
            v_to, v_step));
end
$$;
