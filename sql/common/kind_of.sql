create or replace function scheduler_internal.kind_of(action text)
returns text
language sql
immutable
strict
parallel safe
as $$
    select substring(action from '[a-z]+$')
$$;

comment on function scheduler_internal.kind_of(text) is
    'What an action of the audit log was done to: job, execution or key';
