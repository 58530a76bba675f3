"""Python carries rows between SQL and the outside world: no decision in it, no text of SQL beyond calls."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from pglast import parse_sql
from pglast.error import Error
from pglast.visitors import Visitor

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("workers/**/*.py")])

# Who may say more than `select … from scheduler.…`, and what.
ALLOWED = {
    # Hears of changes, and tries whether it would.
    "app/api/changes.py": {"ListenStmt", "NotifyStmt", "UnlistenStmt"},
    # A hint that reads like a statement; what PgBouncer's console is asked.
    "app/doctor.py": {"GrantRoleStmt", "VariableShowStmt"},
    # Makes the local database and its logins, which no function of ours could.
    "app/localdb.py": {"CreatedbStmt", "CreateRoleStmt", "AlterRoleStmt", "GrantRoleStmt"},
    # Hears of what is ready. A SQL job may leave anything behind in its session: it is wiped, within the
    # job's transaction.
    "workers/queries.py": {
        "ListenStmt",
        "TransactionStmt",
        "ConstraintsSetStmt",
        "ClosePortalStmt",
        "VariableSetStmt",
        "DiscardStmt",
        "DeallocateStmt",
        "UnlistenStmt",
    },
}
IS_LOCAL = {"@": "A_Const", "isnull": False, "val": {"@": "Boolean", "boolval": True}}
SESSION_LEVEL = {"pg_advisory_lock", "pg_try_advisory_lock", "pg_advisory_unlock", "pg_notify"}


def literals_of(tree: ast.Module) -> list[tuple[int, str]]:
    """Returns the strings of a module, but for its docstrings, each with its line."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node not in docstrings:
            if isinstance(node.value, str):
                found.append((node.lineno, node.value))
            elif isinstance(node.value, bytes):
                found.append((node.lineno, node.value.decode(errors="replace")))
    return found


def parsed(text: str) -> tuple[Any, ...]:
    """Returns the statements in a string, none if it is not SQL."""
    if " " not in text.strip() and ";" not in text:
        return ()
    text = re.sub(r"%(?:\(\w+\))?[sbt]", "null", text).replace("{}", "placeholder")
    try:
        return tuple(raw.stmt for raw in parse_sql(text))
    except Error:
        return ()


class Mentions(Visitor):
    """Collects what a statement reads and calls."""

    def __init__(self) -> None:
        """Starts with nothing."""
        self.problems: list[str] = []

    def visit_RangeVar(self, _: object, node: Any) -> None:  # noqa: N802
        """A relation: ours by a view, or the catalogue's."""
        in_catalogue = node.schemaname in (None, "pg_catalog") and node.relname.startswith("pg_")
        if node.schemaname != "scheduler" and not in_catalogue:
            self.problems.append(f"reads {node.schemaname}.{node.relname}")

    def visit_FuncCall(self, _: object, node: Any) -> None:  # noqa: N802
        """A function: not a private one, and none that leaves something in the session."""
        names = [part.sval for part in node.funcname]
        if names[0] == "scheduler_internal":
            self.problems.append(f"calls {'.'.join(names)}")
        if names[-1] in SESSION_LEVEL:
            self.problems.append(f"calls {names[-1]}, which acts on the session")
        if names[-1] == "set_config" and node.args[2](skip_none=True) != IS_LOCAL:
            self.problems.append("calls set_config() for the session")


def problems_of(source: str, *, allowed: set[str]) -> list[str]:
    """Returns what the SQL in a module's strings should leave to the functions."""
    problems = []
    for line, text in literals_of(ast.parse(source)):
        for statement in parsed(text):
            kind = type(statement).__name__
            mentions = Mentions()
            mentions(statement)
            if kind != "SelectStmt" and kind not in allowed:
                mentions.problems.append(kind)
            problems += [f"{line}: {problem}" for problem in mentions.problems]
    return problems


def imports_of(source: str) -> set[str]:
    """Returns the top-level packages that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def relative(path: Path) -> str:
    """Returns a path from the root of the repository."""
    return path.relative_to(ROOT).as_posix()


def test_python_only_calls() -> None:
    """It calls functions and reads views; what a module says beyond that is named above."""
    found = {
        relative(path): problems_of(path.read_text(), allowed=ALLOWED.get(relative(path), set()))
        for path in MODULES
    }
    assert {path: problems for path, problems in found.items() if problems} == {}


def test_app_and_workers_are_strangers() -> None:
    """Either can be deployed, and changed, without the other."""
    other = {"app": "workers", "workers": "app"}
    found = [
        relative(path)
        for path in MODULES
        if other[relative(path).split("/")[0]] in imports_of(path.read_text())
    ]
    assert found == []


def test_there_is_something_to_check() -> None:
    """The strings are found and understood: the workers' calls among them."""
    source = (ROOT / "workers" / "queries.py").read_text()
    calls = [text for _, text in literals_of(ast.parse(source)) if parsed(text)]
    assert len(calls) >= 12


@pytest.mark.parametrize(
    "text",
    [
        "update scheduler_internal.jobs set name = %s",
        "insert into t values (%(a)s)",
        "select * from scheduler_internal.waiting",
        "select scheduler_internal.expire(%s)",
        "select * from jobs",
        "select pg_advisory_lock(1)",
        "select set_config('a.b', 'c', false)",
        "listen jobs",
        "set work_mem = '1GB'",
    ],
)
def test_more_than_a_call_is_seen(text: str) -> None:
    """The check above sees what it is there for."""
    assert problems_of(f"conn.execute({text!r})", allowed=set())
