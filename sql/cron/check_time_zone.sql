create or replace function scheduler_internal.check_time_zone(timezone text) returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The canonical spelling of an IANA time zone name. PostgreSQL itself also takes abbreviations and
-- POSIX strings such as 'GMT+24' or 'Foo3', without a word and with the sign reversed.
-- Raises: 22004 for null, 22023 for an unknown name, with the nearest known one if there is any.
declare
    v_name text;
    v_near text;
begin
    if timezone is null then
        raise exception using
            errcode = '22004',
            column = 'timezone',
            message = 'timezone is null',
            detail = 'A schedule is read in a time zone.',
            hint = 'Use an IANA name such as Europe/Berlin or UTC.';
    end if;
    select z.name into v_name
    from scheduler_internal.time_zones as z
    where z.name = check_time_zone.timezone;
    if v_name is null then
        select z.name into v_name
        from scheduler_internal.time_zones as z
        where lower(z.name collate "C") = lower(check_time_zone.timezone collate "C");
    end if;
    if v_name is null then
        -- A city alone or begun, a space for the underscore, another continent.
        select z.name into v_near
        from scheduler_internal.time_zones as z,
            lower(replace(regexp_replace(left(check_time_zone.timezone, 100), '^.*/', ''), ' ', '_')
                  collate "C") as city
        where length(city) >= 4
            and (starts_with(lower(z.name collate "C"), city)
                 or strpos(lower(z.name collate "C"), '/' || city) > 0)
        order by length(z.name), z.name
        limit 1;
        raise exception using
            errcode = '22023',
            column = 'timezone',
            message = format('unknown time zone "%s"',
                regexp_replace(left(timezone, 100), '[[:cntrl:]]', ' ', 'g')),
            detail = 'Only IANA names are taken, no abbreviations and no POSIX strings.',
            hint = case
                when v_near is not null then format('Did you mean "%s"?', v_near)
                else 'Use a name such as Europe/Berlin or UTC.'
            end;
    end if;
    -- These are names of IANA and abbreviations both: `at time zone` reads them as the latter, an
    -- offset that is fixed. So what IANA says they are links to.
    return case v_name
        when 'CET' then 'Europe/Brussels'
        when 'EET' then 'Europe/Athens'
        when 'MET' then 'Europe/Brussels'
        when 'WET' then 'Europe/Lisbon'
        else v_name
    end;
end
$$;
