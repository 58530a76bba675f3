"""`pgtick import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.jobfile_problems import printable

if TYPE_CHECKING:
    from app.crontab import CrontabReport


@click.group("import")
def import_() -> None:
    """Take over jobs from other schedulers."""


@import_.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--system/--user", default=None, help="With a user column, or without.  [default: find out]")
@click.option("--timezone", help="Zone of the schedules, where no CRON_TZ says it.  [default: UTC]")
@click.option("--queue-per-user", is_flag=True, help="Put the jobs of user U into the queue user-U.")
@click.option("--host", help="Machine whose crontab this is.  [default: this one]")
@click.option("--dry-run", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--prune", is_flag=True, help="Delete the jobs of lines that are gone since the last import.")
def crontab(
    file: Path,
    *,
    system: bool | None,
    timezone: str | None,
    queue_per_user: bool,
    host: str | None,
    dry_run: bool,
    prune: bool,
) -> None:
    """Take over the entries of a crontab FILE (- for standard input) as command jobs.

    Takes what can be taken and tells of the rest, line by line. Exit code 1 if any line could not be taken.
    """
    from app.crontab import import_crontab
    from app.db import connect
    from app.jobfile_report import report_lines
    from app.jobfile_yaml import MAX_BYTES

    # A pipe, as <(crontab -l) makes one, is called otherwise each time: it is standard input by another name.
    path = file if str(file) != "-" and file.is_file() else None
    if prune and path is None:
        raise click.UsageError("--prune needs a file: standard input does not tell whose jobs may go")
    data = _read(file, MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise click.ClickException(f"{file} is larger than {MAX_BYTES} bytes; split it")
    with connect() as conn:
        report = import_crontab(
            conn,
            data,
            path=path,
            system=system,
            timezone=timezone or "UTC",
            queue_per_user=queue_per_user,
            host=host,
            dry_run=dry_run,
            prune=prune,
        )
    _print_lines(report, str(file))
    if timezone is None and not report.zoned:
        click.echo(
            f"{file}: note: read in UTC where no CRON_TZ stands above; "
            "if cron's machine has another zone, give --timezone"
        )
    for line in report_lines(report.jobs):
        click.echo(line)
    if not report.complete:
        refused = sum(remark.refused for remark in report.remarks)
        raise click.ClickException(f"{file}: {refused} line(s) could not be taken, see above")


def _read(file: Path, size: int) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read(size)
    with file.open("rb") as stream:
        return stream.read(size)


def _print_lines(report: CrontabReport, file: str) -> None:
    kind = "a system crontab (with a user column)" if report.system else "a user's crontab"
    click.echo(f"{file}: read as {kind}; --system or --user says otherwise")
    lines = [(line, f"taken as {name}") for line, name in report.taken.items()]
    for remark in report.remarks:
        verdict = "not taken" if remark.refused else "note"
        hint = f"; {remark.hint}" if remark.hint else ""
        lines.append((remark.line, f"{verdict}: {remark.what}{hint}"))
    for line, text in sorted(lines):
        click.echo(printable(f"{file}:{line}: {text}"))
