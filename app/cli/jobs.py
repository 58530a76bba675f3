"""`pgtick jobs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from app.cli._find import NOT_GIVEN, find_job, parse_json, with_times
from app.cli._output import OutputFormat, output_option, print_row, print_rows

_COLUMNS = ("name", "job_type", "schedule", "timezone", "next_fire_at", "paused", "broken_reason", "job_id")
_job_argument = click.argument("job", metavar="NAME|ID")


@click.group()
def jobs() -> None:
    """Look at jobs and change them."""


@jobs.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option(
    "--prune",
    is_flag=True,
    help="Delete jobs that this file made and no longer names. It is known by its `name:`, or else by "
    "FOLDER/FILE alone: give each file a name where several share a database.",
)
@click.option("--take-over", is_flag=True, help="Make the jobs that it names its own, whoever made them.")
def apply(file: Path, *, dry_run: bool, prune: bool, take_over: bool) -> None:
    """Create and update the jobs of a YAML FILE: all of them, or none if anything in it is wrong."""
    from app.db import connect
    from app.jobfile import apply_file
    from app.jobfile_problems import JobFileError
    from app.jobfile_report import report_lines

    try:
        with connect() as conn:
            report = apply_file(conn, file, dry_run=dry_run, prune=prune, take_over=take_over)
    except JobFileError as error:
        for problem in error.problems:
            click.echo(problem.render(error.file), err=True)
        raise click.ClickException(f"{file} was not applied: correct {_count(error.problems)}") from None
    for line in report_lines(report):
        click.echo(line)


@jobs.command("list")
@output_option
def list_(*, output: OutputFormat) -> None:
    """List the jobs."""
    from app.db import connect

    with connect() as conn:
        rows = conn.execute("select to_jsonb(j) from scheduler.jobs j order by j.name").fetchall()
    if output == "table":
        print_rows([with_times({name: row[name] for name in _COLUMNS}) for (row,) in rows])
    else:
        print_rows([row for (row,) in rows], output=output)


@jobs.command()
@_job_argument
@output_option
def show(job: str, *, output: OutputFormat) -> None:
    """Show all of a job."""
    from app.db import connect

    with connect() as conn:
        found = find_job(conn, job)
    print_row(with_times(found) if output == "table" else found, output=output)


@jobs.command()
@_job_argument
@click.option("--payload", callback=parse_json, help="A JSON document instead of the job's payload.")
@click.option("--at", "run_at", metavar="TIME", help="Then, not now: for example 2027-01-31T08:00+01:00.")
def trigger(job: str, *, payload: object, run_at: str | None) -> None:
    """Run a job once, beside its schedule, and print the id of the execution."""
    from psycopg.errors import DatetimeFieldOverflow, InvalidDatetimeFormat
    from psycopg.types.json import Jsonb

    from app.db import connect
    from app.documents import to_json

    with connect() as conn:
        document = None if payload is NOT_GIVEN else Jsonb(payload, to_json)
        arguments = [find_job(conn, job)["job_id"], document, run_at]
        try:
            rows = conn.execute(
                "select scheduler.trigger_job(job_id => %s, payload => %s, run_at => %s)", arguments
            )
        except (InvalidDatetimeFormat, DatetimeFieldOverflow):
            what = f"{run_at!r} is no time such as 2027-01-31T08:00+01:00"
            raise click.BadParameter(what, param_hint="--at") from None
        for (execution_id,) in rows:
            click.echo(str(execution_id))


@jobs.command()
@_job_argument
@click.option("--reason", help="Why, for those who find it paused.")
def pause(job: str, *, reason: str | None) -> None:
    """Stop a job from firing."""
    from app.db import connect

    with connect() as conn:
        found = find_job(conn, job)
        conn.execute("select scheduler.pause_job(job_id => %s, reason => %s)", [found["job_id"], reason])
    click.echo(f"paused {found['name']}")


@jobs.command()
@_job_argument
def resume(job: str) -> None:
    """Let a paused job fire again."""
    from app.db import connect

    with connect() as conn:
        found = find_job(conn, job)
        conn.execute("select scheduler.resume_job(job_id => %s)", [found["job_id"]])
    click.echo(f"resumed {found['name']}")


@jobs.command()
@_job_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(job: str, *, yes: bool) -> None:
    """End a job. Its history stays; what waits or runs goes on."""
    from app.db import connect

    with connect() as conn:
        found = find_job(conn, job)
        if not yes:
            click.confirm(f"Delete {found['name']}?", abort=True, err=True)
        conn.execute("select scheduler.delete_job(job_id => %s)", [found["job_id"]])
    click.echo(f"deleted {found['name']}")


@jobs.command()
@click.argument("names", nargs=-1, metavar="[NAME|ID]...")
def export(names: tuple[str, ...]) -> None:
    """Print jobs (all, unless some are named) as a file that `jobs apply` takes back unchanged."""
    from app.db import connect
    from app.jobfile_export import export_jobs

    with connect() as conn:
        found = [find_job(conn, name)["name"] for name in names] or None
        click.echo(export_jobs(conn, found), nl=False)


def _count(problems: list[Any]) -> str:
    return "this problem" if len(problems) == 1 else f"these {len(problems)} problems"
