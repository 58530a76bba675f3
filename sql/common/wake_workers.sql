-- squawk-ignore ban-drop-function
drop function if exists scheduler_internal.wake_workers(boolean);

-- Without SET, so that it is inlined.
create or replace function scheduler_internal.wake_workers(shard integer, is_ready boolean)
returns void
language sql
volatile
as $$
    -- Off unless asked for: whoever commits a NOTIFY waits for the others who do, across the whole
    -- server. Once for each shard in which a statement makes executions, however many; nothing
    -- depends on its arrival.
    -- Who is told the shard need not look for it among sixteen.
    select case
        when is_ready and scheduler_internal.setting('notify', 'off') = 'on'
        then pg_notify('scheduler_ready', shard::text)
    end
$$;

comment on function scheduler_internal.wake_workers(integer, boolean) is
    'With the setting scheduler.notify on, tells workers that listen that something is ready in a '
    'shard';
