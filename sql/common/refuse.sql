create or replace function scheduler_internal.refuse(
    message text,
    detail text,
    hint text,
    code text default '22023'
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Raises. One place, so that every refusal has a message, the facts and the next step. Volatile:
-- the planner calls an immutable function of constants itself, also where nothing is refused.
begin
    raise exception using errcode = code, detail = detail, hint = hint,
        -- One line, whatever was quoted in it.
        message = regexp_replace(message, '[[:cntrl:]]', ' ', 'g');
end;
$$;

comment on function scheduler_internal.refuse(text, text, text, text) is
    'Raises an error with DETAIL and HINT; 22023 (invalid_parameter_value) unless said otherwise';
