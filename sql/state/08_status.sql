-- What /health and /metrics are answered from without a look at much.

-- Which pgtick applied it: whether a database that differs is older or newer, only this tells.
alter table scheduler_internal.repeatables add column release text;

create table scheduler_internal.marks (
    name text primary key,
    at timestamptz
) with (
    fillfactor = 50,                         -- a mark is a HOT update
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 200
);
comment on table scheduler_internal.marks is
    'When something last happened. ticker: a ticker came by; totals: rollups before it are in '
    'execution_totals';
insert into scheduler_internal.marks (name) values ('ticker'), ('totals');

create table scheduler_internal.execution_totals (
    job_type text primary key,
    succeeded bigint not null,
    failed bigint not null,
    cancelled bigint not null,
    expired bigint not null,
    retried bigint not null
);
comment on table scheduler_internal.execution_totals is
    'The sums of all rollups that there ever were, but for those of the last minutes: a counter '
    'that no dropped partition sets back';
