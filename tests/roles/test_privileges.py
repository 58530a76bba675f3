"""Every role against every function, view and table: exactly what allowed.py says, on paper and in deed."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection, errors

from tests.roles.allowed import FUNCTIONS, ROLES, RUNS_JOBS, SCHEMAS, SQL, VIEWS

OURS = "any ('{scheduler,scheduler_internal}'::regnamespace[])"

# How to call each function by all its arguments: ids are given, because a strict function of nothing but
# nulls is not called at all; the others are null.
CALLS = f"""
    select p.oid::regproc::text, format('select * from %s(%s)', p.oid::regproc, (
        select string_agg(
            case when t = 'uuid'::regtype then 'gen_random_uuid()' else 'null::' || t::regtype end,
            ', ' order by i)
        from unnest(p.proargtypes::oid[]) with ordinality a(t, i)))
    from pg_proc p
    where p.pronamespace = {OURS}
"""
RELATIONS = f"""
    select c.oid::regclass::text from pg_class c
    where c.relnamespace = {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f')
"""
WRITING = ("insert", "delete", "truncate")
WRITES = ("insert into {0} default values", "delete from {0} where false", "truncate {0}", "lock table {0}")


def pairs(db: Connection[Any], query: str, **parameters: Any) -> set[tuple[Any, ...]]:
    """Returns the rows of a query as a set."""
    return set(db.execute(query.encode(), parameters).fetchall())


def flat(table: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Returns an allow-list as pairs of object and role."""
    return {(name, role) for name, roles in table.items() for role in roles}


def is_allowed(db: Connection[Any], *, role: str, statement: str) -> bool:
    """Tells whether the statement, run in vain as that role, gets past the check of rights."""
    with db.transaction(force_rollback=True):
        db.execute(f"set local role {role}".encode())
        try:
            db.execute(statement.encode())
        except errors.InsufficientPrivilege:
            return False
        except (errors.ObjectNotInPrerequisiteState, errors.WrongObjectType):
            return not statement.startswith(WRITING)  # a view that nobody could write to, whatever his rights
        except errors.Error:
            return True  # a wrong argument: judged after the rights
    return True


def test_functions_on_paper(db: Connection[Any], stranger: str) -> None:
    """EXECUTE as listed, no more and no less."""
    granted = pairs(
        db,
        f"""
        select p.oid::regproc::text, r from pg_proc p, unnest(%(roles)s::text[]) r
        where p.pronamespace = {OURS} and has_function_privilege(r, p.oid, 'execute')
        """,
        roles=list(ROLES),
    )
    assert granted == flat(FUNCTIONS)


def test_relations_on_paper(db: Connection[Any], stranger: str) -> None:
    """SELECT on the listed views; nothing on any table, partitions included, not even on a column."""
    granted = pairs(
        db,
        f"""
        select c.oid::regclass::text, r, p from pg_class c, unnest(%(roles)s::text[]) r,
            unnest('{{select,insert,update,delete,truncate,references,trigger}}'::text[]) p
        where c.relnamespace = {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and (has_table_privilege(r, c.oid, p)
                 or p in ('select', 'insert', 'update', 'references')
                    and has_any_column_privilege(r, c.oid, p))
        """,
        roles=list(ROLES),
    )
    assert granted == {(view, role, "select") for view, role in flat(VIEWS)}


def test_schemas_on_paper(db: Connection[Any], stranger: str) -> None:
    """USAGE of the public schema; CREATE nowhere."""
    for schema, allowed in SCHEMAS.items():
        for role in ROLES:
            ask = "select has_schema_privilege(%(role)s, %(schema)s, %(right)s)"
            for right, expected in {"usage": role in allowed, "create": False}.items():
                row = db.execute(ask, {"role": role, "schema": schema, "right": right}).fetchone()
                assert row == (expected,), (schema, role, right)


@pytest.mark.direct
@pytest.mark.parametrize("role", ROLES)
def test_functions_in_deed(db: Connection[Any], stranger: str, role: str) -> None:
    """Each function called as each role: refused, or not, as listed. What is private cannot even be named."""
    calls = dict(db.execute(CALLS.encode()).fetchall())
    called = {name for name, call in calls.items() if is_allowed(db, role=role, statement=call)}
    listed = {name for name, roles in FUNCTIONS.items() if role in roles}
    assert called == {name for name in listed if role in SCHEMAS[name.split(".")[0]]}


@pytest.mark.direct
@pytest.mark.parametrize("role", ROLES)
def test_relations_in_deed(db: Connection[Any], stranger: str, role: str) -> None:
    """Each view read as each role, whole; each view and table written to, in vain."""
    names = [row[0] for row in db.execute(RELATIONS.encode()).fetchall()]
    assert len(names) > 100  # the partitions are among them
    read = {name for name in names if is_allowed(db, role=role, statement=f"select * from {name}")}
    assert read == {name for name, roles in VIEWS.items() if role in roles}
    for name in names:
        for write in WRITES:
            assert not is_allowed(db, role=role, statement=write.format(name)), write.format(name)


@pytest.mark.direct
@pytest.mark.parametrize("role", ["scheduler_client", "scheduler_reader", "scheduler_admin"])
def test_views_with_something_in_them(db: Connection[Any], role: str) -> None:
    """A view calls its functions with the rights of its reader, and only for rows that there are."""
    db.execute(
        """
        select scheduler.create_job('busy', 'sql', '"select 1"', '* * * * *', misfire => 'fire_once');
        select scheduler.create_job('idle', 'sql', '"select 1"', '* * * * *');
        select scheduler.enqueue('sql', '"select 1"');
        select scheduler.create_api_key('k', '{read}');
            select scheduler.pause_job((select j.job_id from scheduler.jobs j where j.name = 'idle'));
        select set_config('scheduler.fake_now', (now() + interval '5 minutes')::text, false);
        select scheduler.tick();
        select scheduler.run_sql_jobs();
        select scheduler.enqueue('command', '"true"');
        """
    )
    db.execute(f"set role {role}".encode())
    for view, roles in VIEWS.items():
        if role in roles:
            assert db.execute(f"select * from {view}".encode()).fetchall(), view
    verdicts = "select distinct verdict from scheduler.fires order by 1"
    assert db.execute(verdicts).fetchall() == [("coalesced",), ("fired",), ("skipped_paused",)]


def test_nothing_for_everybody(db: Connection[Any]) -> None:
    """PUBLIC has no right in our schemas, and no right can be passed on."""
    found = db.execute(
        f"""
        with acl as (
            select p.oid::regprocedure::text as name, a.* from pg_proc p,
                aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where p.pronamespace = {OURS}
            union all
            select c.oid::regclass::text, a.* from pg_class c,
                aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a where c.relnamespace = {OURS}
            union all
            select n.nspname, a.* from pg_namespace n,
                aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a where n.oid = {OURS}
            union all
            select t.oid::regtype::text, a.* from pg_type t join pg_class c on c.oid = t.typrelid,
                aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) a
            where t.typnamespace = {OURS} and c.relkind = 'c'
            union all
            select t.attrelid::regclass || '.' || t.attname, a.* from pg_attribute t
            join pg_class c on c.oid = t.attrelid, aclexplode(t.attacl) a where c.relnamespace = {OURS}
        )
        select name, privilege_type from acl where grantee = 0 or is_grantable
        """.encode()
    ).fetchall()
    assert found == []


@pytest.mark.direct
def test_new_partitions_are_private(db: Connection[Any], stranger: str) -> None:
    """A partition that maintain() makes next year comes after grants.sql, and is closed all the same."""
    db.execute("set scheduler.fake_now = '2099-06-01'")
    db.execute("select scheduler.maintain()")
    count = (
        "select count(*) from pg_class c where c.relname like %s and has_table_privilege(r, c.oid, 'select')"
    )
    for role in ROLES:
        assert db.execute(count.replace("r, c", f"'{role}', c").encode(), ["%2099060_"]).fetchone() == (0,)
    owned = (
        "select count(*) from pg_class c where c.relname like %s and c.relowner = 'scheduler_owner'::regrole"
    )
    assert db.execute(owned.encode(), ["history_2099060_"]).fetchone() == (8,)


def test_owners(db: Connection[Any]) -> None:
    """Everything is scheduler_owner's, but for the one function that runs the statements of SQL jobs."""
    others = db.execute(
        f"""
        select p.oid::regproc::text, p.proowner::regrole::text from pg_proc p
        where p.pronamespace = {OURS} and p.proowner <> 'scheduler_owner'::regrole
        union all
        select c.oid::regclass::text, c.relowner::regrole::text from pg_class c
        where c.relnamespace = {OURS} and c.relowner <> 'scheduler_owner'::regrole
        union all
        select t.oid::regtype::text, t.typowner::regrole::text from pg_type t
        where t.typnamespace = {OURS} and t.typowner <> 'scheduler_owner'::regrole
        """.encode()
    ).fetchall()
    assert others == [(RUNS_JOBS, SQL)]


def test_search_paths_are_pinned(db: Connection[Any]) -> None:
    """What runs with its owner's rights looks nowhere that another may write to; pg_temp comes last."""
    paths = dict(
        db.execute(
            f"""
            select p.oid::regproc::text, p.proconfig from pg_proc p
            where p.pronamespace = {OURS} and p.prosecdef
            """.encode()
        ).fetchall()
    )
    assert paths.pop(RUNS_JOBS) == ["search_path=public, pg_temp"]
    assert set(FUNCTIONS) - {RUNS_JOBS, "scheduler.now", "scheduler.get_shard_id"} == set(paths)
    assert [name for name, path in paths.items() if "search_path=pg_catalog, pg_temp" not in path] == []


def test_roles_are_groups(db: Connection[Any]) -> None:
    """Ours cannot log in, have no attribute, and are members of nothing, but the owner."""
    able = db.execute(
        """
        select r.rolname from pg_roles r
        where r.rolname like 'scheduler\\_%' and (r.rolcanlogin or r.rolsuper or r.rolcreaterole
            or r.rolcreatedb or r.rolreplication or r.rolbypassrls)
        """
    ).fetchall()
    assert able == []
    members = db.execute(
        """
        select m.member::regrole::text, m.roleid::regrole::text from pg_auth_members m
        where m.member::regrole::text like 'scheduler\\_%'
        """
    ).fetchall()
    # It hands a function to scheduler_sql, and health() tells whose transaction holds back vacuum.
    assert set(members) == {("scheduler_owner", "scheduler_sql"), ("scheduler_owner", "pg_read_all_stats")}
