"""Who takes part, and what is to be known about each to measure it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import click
from psycopg.conninfo import conninfo_to_dict

from loadtest.history import FILL
from loadtest.processes import unset
from loadtest.rivals import tools
from loadtest.rivals.tools import MissingError

ROOT = Path(__file__).parent.parent.parent
PROGRAMS = "loadtest.rivals.programs"
US = "pgtick"
FUNCTIONS = "pgtick, functions only"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One contestant; its program says which of its options make it fast."""

    name: str
    note: str
    command: Callable[[], list[str]]
    """Returns its program, without the verb; raises MissingError."""
    jobs: int = 0
    """To enqueue and drain in a round: a second's work or more."""
    queue: str = ""
    """The table that its claims lock rows of."""
    left: str = ""
    """SQL: whether a job is left that has not ended."""
    kept: str = ""
    """SQL: how many ended jobs it remembers."""
    claimers: int = 0
    """How many of its sessions wait when nobody gets at the queue."""
    fill: str = ""
    """SQL: makes $rows ended jobs; none where it keeps nothing."""
    keeps: bool = True
    is_ours: bool = False
    has_latency: bool = True

    def run(self, *arguments: str, conninfo: str) -> subprocess.CompletedProcess[str]:
        """Runs its program to the end."""
        done = subprocess.run(
            [*self.command(), *arguments],
            env=self.environ(conninfo),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name}: {' '.join(arguments)} failed: {done.stderr[-2000:]}")
        return done

    @staticmethod
    def environ(conninfo: str, **more: str) -> dict[str, str]:
        """Returns the environment of its programs."""
        return unset(os.environ) | {"DATABASE_URL": _url(conninfo), "PYTHONPATH": str(ROOT)} | more


def _url(conninfo: str) -> str:
    """Returns a connection string as the only form that all drivers know."""
    part = {name: quote(str(value), safe="") for name, value in conninfo_to_dict(conninfo).items()}
    login = f"{part['user']}:{part['password']}" if "password" in part else part["user"]
    return f"postgres://{login}@{part['host']}:{part.get('port', '5432')}/{part['dbname']}"


def _ours(module: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", f"{PROGRAMS}.{module}"]


def _python(module: str) -> Callable[[], list[str]]:
    return lambda: [tools.python(), "-m", f"{PROGRAMS}.{module}"]


def _node(module: str) -> Callable[[], list[str]]:
    return lambda: [tools.node(), str(tools.NODE / f"{module}.mjs")]


_PGTICK_LEFT = (
    "select exists (select from scheduler_internal.waiting) "
    "or exists (select from scheduler_internal.running)"
)
_PGTICK_KEPT = "select count(*) from scheduler_internal.history where final and status = 'succeeded'"

CONTESTANTS = (
    Contestant(
        name=US,
        note="2 workers, concurrency 1000",
        command=_ours("pgtick"),
        jobs=60_000,
        queue="scheduler_internal.waiting",
        left=_PGTICK_LEFT,
        kept=_PGTICK_KEPT,
        claimers=2,
        is_ours=True,
    ),
    Contestant(
        name=FUNCTIONS,
        note="claim() and finish() in batches of 1000, 2 processes, no worker",
        command=_ours("pgtick_functions"),
        jobs=60_000,
        queue="scheduler_internal.waiting",
        left=_PGTICK_LEFT,
        kept=_PGTICK_KEPT,
        claimers=2,
        is_ours=True,
        has_latency=False,
    ),
    Contestant(
        name="graphile-worker",
        note="local queue 500, completions batched, concurrency 24, 2 processes",
        command=_node("graphile_worker"),
        jobs=60_000,
        queue="graphile_worker._private_jobs",
        left="select exists (select from graphile_worker._private_jobs)",
        kept="select 0",
        claimers=2,
        keeps=False,
    ),
    Contestant(
        name="pg-boss",
        note="batches of 1000, 2 workers in each of 2 processes, notify",
        command=_node("pg_boss"),
        jobs=40_000,
        queue="pgboss.job",
        left="select exists (select from pgboss.job where state < 'completed')",
        kept="select count(*) from pgboss.job where state = 'completed'",
        claimers=4,
    ),
    Contestant(
        name="PgQueuer",
        note="batches of 1000, 2 processes",
        command=_python("pgqueuer"),
        jobs=40_000,
        queue="pgqueuer",
        left="select exists (select from pgqueuer)",
        kept="select count(*) from pgqueuer_log where status = 'successful'",
        claimers=2,
    ),
    Contestant(
        name="Procrastinate",
        note="concurrency 10, 2 processes",
        command=_python("procrastinate"),
        jobs=1_000,
        queue="procrastinate_jobs",
        left="select exists (select from procrastinate_jobs where status in ('todo', 'doing'))",
        kept="select count(*) from procrastinate_jobs where status = 'succeeded'",
        claimers=2,
    ),
)


# In the closed loop, everyone by the calls that its worker makes, and the plainest queue beside them.
FLAT = (
    Contestant(
        name=US,
        note="enqueue_many(), claim(), finish()",
        command=_ours("pgtick_functions"),
        fill=FILL,
    ),
    Contestant(
        name="plain SKIP LOCKED",
        note="one table, three statements",
        command=_ours("skip_locked"),
        fill="""
            insert into history
            select -n, 0, now(), 'done', 1, now(), now(), '{"order": 1234567}'
            from generate_series(1, $rows) n
            """,
    ),
    Contestant(
        name="graphile-worker",
        note="addJobs, the statements of its local queue and its batches",
        command=_node("graphile_worker"),
    ),
    Contestant(
        name="pg-boss",
        note="insert, fetch, complete",
        command=_node("pg_boss"),
        fill="""
            insert into pgboss.job (name, state, data, created_on, started_on, completed_on)
            select 'noop', 'completed', '{"order": 1234567}', now(), now(), now()
            from generate_series(1, $rows)
            """,
    ),
    Contestant(
        name="PgQueuer",
        note="enqueue, dequeue, log_jobs",
        command=_python("pgqueuer"),
        fill="""
            insert into pgqueuer_log (job_id, status, entrypoint, priority)
            select -n, s::pgqueuer_status, 'noop', 0
            from generate_series(1, $rows) n, unnest('{queued,picked,successful}'::text[]) s
            """,
    ),
)


def present(names: Sequence[str], contestants: Sequence[Contestant]) -> tuple[list[Contestant], list[str]]:
    """Returns the chosen contestants (none chosen: all), and a line for each whose tools are missing."""
    found, left_out = [], []
    for contestant in contestants:
        if names and contestant.name not in names:
            continue
        try:
            contestant.command()
        except MissingError as reason:
            left_out.append(f"{contestant.name} is left out: {reason}")
        else:
            found.append(contestant)
    if not found:
        raise click.ClickException("; ".join(["nobody is left to be measured", *left_out]))
    return found, left_out
