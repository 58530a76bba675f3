create or replace function scheduler_internal.check_choice(label text, value text, choices text[])
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
-- Raises: 22023 when the value is none of the choices.
begin
    if value is null or value <> all (choices) then
        perform scheduler_internal.refuse(
            format('unknown %s %L', label, value),
            format('It is one of %s.', array_to_string(choices, ', ')),
            format('Choose one, for example %s.', choices[1]), argument => label);
    end if;
end;
$$;

comment on function scheduler_internal.check_choice(text, text, text[]) is
    'Refuses a policy that is none of its choices';
