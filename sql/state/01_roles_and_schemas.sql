-- Roles are cluster-wide and may be there already (another database, an earlier install): make only
-- the missing.
do $$
declare
    v_role text;
begin
    foreach v_role in array array[
        'scheduler_owner', 'scheduler_client', 'scheduler_worker', 'scheduler_reader',
        'scheduler_admin', 'scheduler_sql'
    ] loop
        if not exists (select from pg_catalog.pg_roles r where r.rolname = v_role) then
            begin
                execute pg_catalog.format('create role %I nologin', v_role);
            exception when duplicate_object or unique_violation then
                null;  -- another database of this cluster is migrated at the same moment
            end;
        end if;
    end loop;
end $$;

-- The owner hands one function to scheduler_sql: the one that runs the statements of SQL jobs in
-- psql.
grant scheduler_sql to scheduler_owner;

-- health() looks at other people's transactions: without this it sees its own only, and says "ok".
do $$
begin
    grant pg_read_all_stats to scheduler_owner;
exception when insufficient_privilege then  -- since 16 only who holds it with ADMIN may pass it on
    raise notice 'pg_read_all_stats is not granted: health() will not see who holds back vacuum';
end $$;

comment on role scheduler_owner is
    'pgtick: owns every object of the schemas scheduler and scheduler_internal';
comment on role scheduler_client is 'pgtick: describes jobs and enqueues executions';
comment on role scheduler_worker is 'pgtick: runs tickers and workers';
comment on role scheduler_reader is 'pgtick: reads the views, previews schedules';
comment on role scheduler_admin is 'pgtick: everything that is public';
comment on role scheduler_sql is
    'pgtick: what SQL jobs run as. Grant it the rights that your SQL jobs need, and nothing else';

create schema if not exists scheduler;
create schema if not exists scheduler_internal;
comment on schema scheduler is
    'pgtick: the public functions and views. \df+ scheduler.* is the manual';
comment on schema scheduler_internal is
    'pgtick: private tables and helpers; they change without notice';
