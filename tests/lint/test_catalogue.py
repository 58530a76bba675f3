"""The schemas as the server knows them: described, named, and made by files that can be applied again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from migrations.files import repeatable_files
from migrations.repeatable import name_of

ROUTINES = """
    select p.oid::regprocedure::text
    from pg_proc p
    where p.pronamespace = any ('{scheduler,scheduler_internal}'::regnamespace[])
"""

# The definition of everything that a re-runnable file makes.
DEFINITIONS = """
    select p.oid::regprocedure::text, pg_get_functiondef(p.oid), p.proowner::regrole::text,
        array(select a::text from unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a order by 1),
        obj_description(p.oid, 'pg_proc')
    from pg_proc p
    where p.pronamespace = any ('{scheduler,scheduler_internal}'::regnamespace[])
    union all
    select c.oid::regclass::text, coalesce(pg_get_viewdef(c.oid), ''), c.relowner::regrole::text,
        array(select a::text from unnest(coalesce(c.relacl, acldefault('r', c.relowner))) a order by 1),
        obj_description(c.oid, 'pg_class')
    from pg_class c
    where c.relnamespace = any ('{scheduler,scheduler_internal}'::regnamespace[])
        and c.relkind in ('r', 'p', 'v')
    order by 1
"""


def column(db: Connection[Any], query: str) -> list[Any]:
    """Returns the first column of a query."""
    return [row[0] for row in db.execute(query.encode()).fetchall()]


def test_public_objects_are_described(db: Connection[Any]) -> None:
    r"""\\df+ and \\dv+ are the manual."""
    bare = (
        ROUTINES
        + "and p.pronamespace = 'scheduler'::regnamespace and obj_description(p.oid, 'pg_proc') is null"
    )
    assert column(db, bare) == []
    views = """
        select c.oid::regclass::text from pg_class c
        where c.relnamespace = 'scheduler'::regnamespace and obj_description(c.oid, 'pg_class') is null
    """
    assert column(db, views) == []


def test_tables_and_types_are_described(db: Connection[Any]) -> None:
    """Private ones too; a partition says what its parent does."""
    bare = """
        select c.oid::regclass::text from pg_class c
        where c.relnamespace = 'scheduler_internal'::regnamespace and c.relkind in ('r', 'p', 'c', 'v')
            and not c.relispartition and c.relname <> 'alembic_version'
            and coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type')) is null
    """
    assert column(db, bare) == []


def test_arguments_have_names(db: Connection[Any]) -> None:
    """All callers use named notation."""
    nameless = ROUTINES + "and p.pronargs > 0 and (p.proargnames is null or '' = any (p.proargnames))"
    assert column(db, nameless) == []


def test_functions_have_no_overloads(db: Connection[Any]) -> None:
    """A name with two signatures breaks callers who leave out an argument (42725)."""
    overloaded = f"select left(f, strpos(f, '(') - 1) from ({ROUTINES}) r(f) group by 1 having count(*) > 1"
    assert column(db, overloaded) == []


def test_every_function_has_its_file(db: Connection[Any]) -> None:
    """Nothing lives in a migration, and nothing is left of a file that has gone."""
    objects = """
        select p.proname from pg_proc p
        where p.pronamespace = any ('{scheduler,scheduler_internal}'::regnamespace[])
        union
        select c.relname from pg_class c
        where c.relnamespace = any ('{scheduler,scheduler_internal}'::regnamespace[]) and c.relkind = 'v'
    """
    files = {path.stem for path in repeatable_files()} - {"grants"}
    assert set(column(db, objects)) == files


@pytest.mark.direct
def test_files_can_be_applied_twice(db: Connection[Any]) -> None:
    """Once more, now with the bodies of SQL functions checked: nothing fails, and nothing changes."""
    before = db.execute(DEFINITIONS.encode()).fetchall()
    with db.transaction():
        db.execute("set local role scheduler_owner")
        db.execute("set local check_function_bodies = on")
        for path in repeatable_files():
            try:
                db.execute(path.read_bytes())
            except Exception as error:
                error.add_note(name_of(path))
                raise
    assert db.execute(DEFINITIONS.encode()).fetchall() == before
    assert len(before) > 100


INLINED = [path for path in repeatable_files() if "so that it is inlined" in path.read_text()]


@pytest.mark.parametrize("path", INLINED, ids=lambda path: path.stem)
def test_what_is_to_be_inlined_is(db: Connection[Any], path: Path) -> None:
    """Declared stricter than what it calls, a function is called for each row, and planned for each call."""
    found = db.execute(
        """
        select p.oid::regproc::text, array(select format_type(t, null) from unnest(p.proargtypes) t),
            p.proretset
        from pg_proc p
        where p.pronamespace = any ('{scheduler,scheduler_internal}'::regnamespace[]) and p.proname = %s
        """,
        [path.stem],
    ).fetchone()
    assert found is not None
    name, types, returns_rows = found
    columns = ", ".join(f"null::{type_} as a{number}" for number, type_ in enumerate(types))
    arguments = ", ".join(f"x.a{number}" for number in range(len(types)))
    source = f"(select {columns} offset 0) x"
    if returns_rows:
        query = f"select * from {source} cross join lateral {name}({arguments})"
    else:
        query = f"select {name}({arguments}) from {source}"
    plan = "\n".join(column(db, f"explain (verbose) {query}"))
    assert f"{name}(" not in plan
