-- A table for the sample job of type sql. What SQL jobs may do is what scheduler_sql may do.
create table if not exists public.pgtick_demo (
    demo_id uuid primary key default gen_random_uuid(),
    execution_id text not null default current_setting('scheduler.execution_id'),
    created_at timestamptz not null default now()
);
grant insert, select on public.pgtick_demo to scheduler_sql;
