create or replace function scheduler_internal.instants(
    spec scheduler_internal.schedule_spec,
    timezone text,
    from_time timestamptz,
    upto timestamptz,
    max_n integer
) returns setof timestamptz
language plpgsql stable parallel safe security definer
set search_path = pg_catalog, pg_temp
as $$
-- All instants of a compiled schedule from from_time to upto, both included, oldest first, at
-- most max_n of them. Security definer, because the view fires calls it with its reader's rights.
declare
    -- From the first day on from which next_instant() looks.
    v_instant timestamptz :=
        greatest(from_time, '0001-01-02 00:00:01+00') - interval '1 microsecond';
begin
    for i in 1..max_n loop
        v_instant := scheduler_internal.next_instant(spec, timezone, v_instant);
        exit when v_instant is null or v_instant > upto;
        return next v_instant;
    end loop;
end
$$;
