"""`pgtick executions`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from app.cli._find import find_job, with_times
from app.cli._output import OutputFormat, output_option, print_row, print_rows

if TYPE_CHECKING:
    from uuid import UUID

STATUSES = ("scheduled", "ready", "running", "succeeded", "failed", "cancelled", "expired")
_COLUMNS = (
    "execution_id",
    "job_name",
    "job_type",
    "status",
    "attempt",
    "run_at",
    "started_at",
    "finished_at",
)


_id_argument = click.argument("execution_id", metavar="ID", type=click.UUID)


@click.group()
def executions() -> None:
    """Look at executions, cancel them, run them again."""


@executions.command("list")
@click.option("--job", metavar="NAME|ID", help="Only those of this job.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those in this status.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="How many.")
@output_option
def list_(*, job: str | None, status: str | None, limit: int, output: OutputFormat) -> None:
    """List executions, the newest first."""
    from app.db import connect

    with connect() as conn:
        job_id = find_job(conn, job, deleted=True)["job_id"] if job else None
        rows = conn.execute(
            "select to_jsonb(e) from scheduler.executions e"
            " where (%(job_id)s::uuid is null or e.job_id = %(job_id)s)"
            " and (%(status)s::text is null or e.status = %(status)s)"
            " order by e.execution_id desc limit %(limit)s",
            {"job_id": job_id, "status": status, "limit": limit},
        ).fetchall()
    print_rows([_line(row) if output == "table" else row for (row,) in rows], output=output)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    error = row["error"]  # any JSON: who finishes executions by SQL says what he likes
    message = error.get("message") if isinstance(error, dict) else error
    return {**with_times({name: row[name] for name in _COLUMNS}), "error": message}


@executions.command()
@_id_argument
@output_option
def show(execution_id: UUID, *, output: OutputFormat) -> None:
    """Show all of an execution."""
    from app.db import connect

    with connect() as conn:
        found = conn.execute(
            "select to_jsonb(e) from scheduler.get_execution(execution_id => %s) e", [execution_id]
        ).fetchone()
    if found is None:
        raise click.ClickException(f"there is no execution {execution_id}; see pgtick executions list")
    print_row(with_times(found[0]) if output == "table" else found[0], output=output)


@executions.command()
@_id_argument
def cancel(execution_id: UUID) -> None:
    """End an execution that waits, or have its worker stop it."""
    _change(
        "cancel_execution",
        execution_id,
        done="cancelled",
        late="it has ended already",
        running="its worker is told to stop it",
    )


@executions.command()
@_id_argument
def retry(execution_id: UUID) -> None:
    """Run an ended execution again, under the same id."""
    _change("retry_execution", execution_id, done="waiting to run again", late="it has not ended")


def _change(function: str, execution_id: UUID, *, done: str, late: str, running: str | None = None) -> None:
    from psycopg import sql
    from psycopg.errors import InsufficientPrivilege

    from app.db import connect

    status = None
    with connect() as conn:
        call = sql.SQL("select scheduler.{}(execution_id => %s)").format(sql.Identifier(function))
        row = conn.execute(call, [execution_id]).fetchone()
        if running is not None:
            with suppress(InsufficientPrivilege):  # who may change an execution need not be able to look
                status = conn.execute(
                    "select status from scheduler.get_execution(execution_id => %s)", [execution_id]
                ).fetchone()
    if row is None or not row[0]:
        raise click.ClickException(f"{execution_id}: {late}; see pgtick executions show {execution_id}")
    click.echo(f"{execution_id}: {running if status == ('running',) else done}")
