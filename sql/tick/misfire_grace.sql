-- Without SET, so that it is inlined as the constant that it is.
create or replace function scheduler_internal.misfire_grace()
returns interval
language sql
immutable
parallel safe
as $$
    select interval '1 minute'
$$;

comment on function scheduler_internal.misfire_grace() is
    'How late a fire may be under misfire = skip and still count as punctual, where the job has no '
    'misfire_window';
