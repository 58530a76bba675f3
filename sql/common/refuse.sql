-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.refuse(text, text, text, text);

create or replace function scheduler_internal.refuse(
    message text,
    detail text,
    hint text,
    code text default '22023',
    argument text default ''
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
-- Raises. One place, so that every refusal has a message, the facts and the next step; and where an
-- argument is to blame, its name, as the error's column: a form shows the error beside its field.
-- Volatile: the planner calls an immutable function of constants itself, also where nothing is
-- refused.
begin
    raise exception using errcode = code, detail = detail, hint = hint, column = argument,
        -- One line, whatever was quoted in it.
        message = regexp_replace(message, '[[:cntrl:]]', ' ', 'g');
end;
$$;

comment on function scheduler_internal.refuse(text, text, text, text, text) is
    'Raises an error with DETAIL and HINT, which names the argument to blame; 22023 '
    '(invalid_parameter_value) unless said otherwise';
