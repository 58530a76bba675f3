"""The check that what is applied again and again can be."""

from __future__ import annotations

import pytest

from migrations.files import SQL
from tests.support.check_sql import problems_of

PATH = SQL / "common" / "now.sql"
GOOD = "create or replace function scheduler.now() returns integer language sql as 'select 1';"


def test_good_file() -> None:
    assert problems_of(PATH, f"{GOOD}\ncomment on function scheduler.now() is 'x';") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{GOOD}\ncreate table x ();", "sql/common/now.sql:2: CreateStmt cannot be applied twice"),
        (GOOD.replace(" or replace", ""), "sql/common/now.sql:1: CreateFunctionStmt cannot be applied twice"),
        (f"drop function x();\n{GOOD}", "sql/common/now.sql:1: DropStmt cannot be applied twice"),
        (GOOD.replace(".now", ".then"), "sql/common/now.sql: creates then, not now"),
        (f"{GOOD}\ninsert into x values (1);", "sql/common/now.sql:2: InsertStmt cannot be applied twice"),
        ("create or replce function", 'sql/common/now.sql: syntax error at or near "replce"'),
    ],
)
def test_bad_file(text: str, problem: str) -> None:
    (found,) = problems_of(PATH, text)
    assert found.startswith(problem)
