"""Checks that every file of SQL that is applied again and again can be: part of `make check`.

Each statement must leave a database that has it as it was. So: create or replace, comment, drop … if exists,
grant, revoke, alter … owner or set, and do blocks, which decide for themselves. A file makes one function or
view and has its name.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pglast import ast, parse_sql
from pglast.error import Error

from migrations.files import GRANTS, repeatable_files
from migrations.repeatable import name_of

REPEATABLE = (
    ast.CommentStmt,
    ast.DoStmt,
    ast.GrantStmt,
    ast.GrantRoleStmt,
    ast.AlterOwnerStmt,
    ast.AlterFunctionStmt,
    ast.AlterDefaultPrivilegesStmt,
    ast.AlterRoleSetStmt,
)


def problems_of(path: Path, text: str) -> list[str]:
    """Returns what is wrong with a re-runnable file."""
    try:
        statements = parse_sql(text)
    except Error as error:
        return [f"{name_of(path)}: {error}"]
    problems = []
    created: set[str] = set()
    for raw in statements:
        statement: Any = raw.stmt
        kind = type(statement)
        if kind is ast.CreateFunctionStmt:
            created.add(statement.funcname[-1].sval)
            fine = statement.replace
        elif kind is ast.ViewStmt:
            created.add(statement.view.relname)
            fine = statement.replace
        elif kind is ast.DropStmt:
            fine = statement.missing_ok
        else:
            fine = kind in REPEATABLE
        if not fine:
            line = text.count("\n", 0, raw.stmt_location or 0) + 1
            problems.append(f"{name_of(path)}:{line}: {kind.__name__} cannot be applied twice")
    if path != GRANTS and created != {path.stem}:
        problems.append(
            f"{name_of(path)}: creates {', '.join(sorted(created)) or 'nothing'}, not {path.stem}"
        )
    return problems


def main() -> None:
    """Checks all files and tells what is wrong, a line for each."""
    problems = [problem for path in repeatable_files() for problem in problems_of(path, path.read_text())]
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
