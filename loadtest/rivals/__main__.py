"""`python -m loadtest.rivals [NAME]…` measures pgtick and its rivals in turn, in one run on one server."""

from __future__ import annotations

import json
from pathlib import Path

import click

from loadtest.command import Output, main
from loadtest.figures import Report
from loadtest.rivals.contestants import CONTESTANTS, present
from loadtest.rivals.run import KINDS, run
from loadtest.rivals.tools import versions


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument(
    "names", metavar="[NAME]...", nargs=-1, type=click.Choice([contestant.name for contestant in CONTESTANTS])
)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Measure only this.")
@click.option(
    "--seconds", type=click.FloatRange(1), default=10.0, show_default=True, help="Of latency, in each round."
)
@click.option(
    "--dsn", help="As a superuser on this server, in databases made for it, not on a throw-away server."
)
@click.option("--json", "json_path", type=Output(), help="Also write the results to this file.")
def bench(
    names: tuple[str, ...],
    rounds: int,
    kinds: tuple[str, ...],
    seconds: float,
    dsn: str | None,
    json_path: Path | None,
) -> None:
    """Measures pgtick beside its rivals: all of them, or those named."""
    contestants, left_out = present(names, CONTESTANTS)
    for line in [f"{c.name}: {c.note}" for c in contestants] + left_out:
        click.echo(line)
    more = {"left_out": left_out, "versions": versions()}
    reports: list[Report] = []
    try:
        for reports in run(contestants, rounds=rounds, kinds=kinds or KINDS, seconds=seconds, dsn=dsn):
            if json_path is not None:
                documents = [report.document() | more for report in reports]
                json_path.write_text(json.dumps(documents, indent=2, ensure_ascii=False) + "\n")
    finally:
        # Whatever ends it, the rounds that are done count.
        for report in reports:
            click.echo(report.table() + "\n")


if __name__ == "__main__":
    main(bench, "python -m loadtest.rivals")
