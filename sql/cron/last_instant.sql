create or replace function scheduler_internal.last_instant(
    spec scheduler_internal.schedule_spec,
    timezone text,
    upto timestamptz
) returns timestamptz
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The newest instant at or before a given one at which a compiled schedule ran; null when there
-- is none. Widens a window until it holds an instant, then halves it: 20 to 300 us.
declare
    v_epoch double precision := date_part('epoch', upto);
    v_upper timestamptz := upto;    -- nothing runs in (v_upper, upto]
    v_found timestamptz;
    v_next timestamptz;
    v_middle timestamptz;
    v_days double precision;
begin
    if upto is null or not isfinite(upto) then
        return null;
    end if;
    -- A minute, an hour, a day, … 41 years (the longest wait of all but listed years), since
    -- 1970.
    foreach v_days in array
        '{0.0007,0.042,1,8,63,731,3288,14976}'::double precision[] || (v_epoch / 86400 + 2)
    loop
        v_found := scheduler_internal.next_instant(
            spec, timezone, to_timestamp(v_epoch - v_days * 86400));
        exit when v_found <= upto;
    end loop;
    if v_found is null or v_found > upto then
        return null;
    end if;
    loop
        v_next := scheduler_internal.next_instant(spec, timezone, v_found);
        if v_next is null or v_next > v_upper then
            return v_found;
        end if;
        v_middle := to_timestamp((date_part('epoch', v_next) + date_part('epoch', v_upper)) / 2);
        v_found := v_next;
        v_next := scheduler_internal.next_instant(spec, timezone, v_middle);
        if v_next <= v_upper then
            v_found := v_next;
        else
            v_upper := v_middle;
        end if;
    end loop;
end
$$;
