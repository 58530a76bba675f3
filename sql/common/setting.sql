-- Without SET, so that it is inlined: else each transaction that asks plans it anew, 35 us.
create or replace function scheduler_internal.setting(name text, fallback text)
returns text
language sql
stable
parallel safe
as $$
    select coalesce(nullif(current_setting('scheduler.' || name, true), ''), fallback)
$$;

comment on function scheduler_internal.setting(text, text) is
    'A setting of the namespace scheduler, e.g. alter database app set scheduler.history_retention '
    '= ''90 days''';
