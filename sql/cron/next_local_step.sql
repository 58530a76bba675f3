create or replace function scheduler_internal.next_local_step(
    spec scheduler_internal.schedule_spec,
    timezone text,
    from_second bigint
) returns bigint
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The first local time (in seconds since 1970-01-01 00:00 local) at or after from_second of an
-- `every` schedule that steps by days or months. Steps are always counted from the anchor, so
-- that the 31st comes back after February.
declare
    v_anchor timestamp := spec.anchor at time zone timezone;
    v_from timestamp := to_timestamp(from_second) at time zone 'UTC';
    v_days integer := date_part('day', spec.step);
    v_months integer := date_part('year', spec.step) * 12 + date_part('month', spec.step);
    v_steps integer;
    v_local timestamp;
begin
    if v_days <> 0 then
        v_steps := (v_from::date - v_anchor::date) / v_days;
    else
        v_steps := (
            (date_part('year', v_from) - date_part('year', v_anchor)) * 12
            + date_part('month', v_from) - date_part('month', v_anchor)
        )::integer / v_months;
    end if;
    v_steps := greatest(v_steps, 0);
    v_local := v_anchor + v_steps * spec.step;
    if v_local < v_from then
        v_local := v_anchor + (v_steps + 1) * spec.step;
    end if;
    return date_part('epoch', v_local);
end
$$;
