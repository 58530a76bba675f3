create or replace function scheduler_internal.expand_nickname(schedule text, cron text) returns text
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
-- The cron fields that a nickname stands for; any other text comes back as it is.
-- Raises: 22023 for a nickname that is unknown or has no meaning here.
declare
    v_cron text := case cron
        when '@yearly' then '0 0 1 1 *'
        when '@annually' then '0 0 1 1 *'
        when '@monthly' then '0 0 1 * *'
        when '@weekly' then '0 0 * * 0'
        when '@daily' then '0 0 * * *'
        when '@midnight' then '0 0 * * *'
        when '@hourly' then '0 * * * *'
    end;
begin
    if cron not like '@%' then
        return cron;
    elsif v_cron is null then
        perform scheduler_internal.refuse_schedule(
            schedule,
            case
                when cron = '@reboot' then 'A database scheduler has no start-up event.'
                when cron like '@every%' then '"@every" is not cron.'
                else 'The nickname is unknown; it is written in lower case and stands alone.'
            end,
            case
                when cron = '@reboot' then
                    'Call scheduler.trigger_job or scheduler.enqueue from what starts the machine.'
                when cron like '@every%' then 'Write "every 15 minutes", without the "@".'
                else 'Use @yearly, @annually, @monthly, @weekly, @daily, @midnight or @hourly.'
            end);
    end if;
    return v_cron;
end
$$;
