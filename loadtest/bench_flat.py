"""Closed loop at full load: does the rate stay, as dead rows pile up and a transaction is held open?

Four processes enqueue, claim and finish batches of 100 without a pause, each contestant alone and in a fresh
database. A table under a queue is all churn; what an index scan wades through is what vacuum has not removed
yet, and it removes nothing that a snapshot could still see: a report, a dump, a forgotten psql.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from loadtest.command import Output, main
from loadtest.figures import Figure, Report, Target, server_settings
from loadtest.rivals.contestants import FLAT, US, Contestant, present
from loadtest.rivals.database import fresh
from loadtest.rivals.plot import plot
from loadtest.rivals.tools import versions
from loadtest.rivals.turns import start_together
from loadtest.server import connect, database

PROCESSES = 4
BATCH = 100
# How much of the time the transaction is held, and what is then added to the names.
HELD = {"none": 0.0, "half": 0.5, "all": 1.0}
SUFFIX = {"none": "", "half": ", held for half", "all": ", held"}
# The last slice against the first.
TARGETS = {"none": Target(0.8, "at least"), "half": Target(0.65, "at least"), "all": None}


class Flat(NamedTuple):
    """Jobs a second in each slice of one contestant's loop."""

    contestant: Contestant
    held: str
    rates: list[float]

    @property
    def name(self) -> str:
        """Its name in tables and plots."""
        return self.contestant.name + SUFFIX[self.held]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[NAME]...", nargs=-1, type=click.Choice([c.name for c in FLAT]))
@click.option("--seconds", type=click.FloatRange(1), default=60, show_default=True, help="For each.")
@click.option("--slice", "slice_seconds", type=click.FloatRange(0.5), default=5, show_default=True)
@click.option(
    "--held",
    "helds",
    type=click.Choice(list(HELD)),
    multiple=True,
    help="Hold a REPEATABLE READ transaction for so much of the time; without it: none and then all.",
)
@click.option(
    "--history",
    type=click.IntRange(0),
    default=0,
    help="Begin with so many ended jobs, put straight into the table where each keeps them.",
)
@click.option(
    "--dsn", help="As a superuser on this server, in databases made for it, not on a throw-away server."
)
@click.option("--json", "json_path", type=Output(), help="Also write the results here.")
@click.option("--svg", "svg_path", type=Output(), help="Also draw them here.")
def bench(
    names: tuple[str, ...],
    seconds: float,
    slice_seconds: float,
    helds: tuple[str, ...],
    history: int,
    dsn: str | None,
    json_path: Path | None,
    svg_path: Path | None,
) -> None:
    """Measures how the rate holds under full load: of pgtick, its rivals and a plain queue."""
    if slice_seconds > seconds:
        raise click.UsageError(f"--slice is longer than --seconds: there is no whole slice in {seconds:g} s")
    contestants, left_out = present(names, FLAT)
    for line in [f"{c.name}: {c.note}" for c in contestants] + left_out:
        click.echo(line)
    results = []
    with database(dsn) as db:
        for held in helds or ("none", "all"):
            for contestant in contestants:
                with fresh(db, contestant) as conninfo:
                    _fill(contestant, conninfo, history)
                    rates = _loop(contestant, conninfo, seconds, slice_seconds, held)
                results.append(Flat(contestant, held, rates))
                click.echo(f"{results[-1].name}: " + " ".join(f"{rate:,.0f}" for rate in rates))
        with db.connect() as conn:
            settings = server_settings(conn)
    note = f"batches of {BATCH}, {PROCESSES} processes, {seconds:g} s, {history:,} ended jobs at the start"
    report = Report(
        benchmark="flat", note=note, settings=settings, figures=[f for r in results for f in _figures(r)]
    )
    click.echo("\n" + report.table())
    if json_path is not None:
        slices = {result.name: result.rates for result in results}
        document = report.document() | {
            "slice_seconds": slice_seconds,
            "slices": slices,
            "left_out": left_out,
            "versions": versions(),
        }
        json_path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    if svg_path is not None:
        title = f"jobs a second, {note}"
        lines = {result.name: result.rates for result in results}
        svg_path.write_text(plot(lines, slice_seconds=slice_seconds, title=title, dashed=SUFFIX["all"]))


def _figures(result: Flat) -> Iterator[Figure]:
    name, rates = result.name, result.rates
    yield Figure(name=f"{name}: first", unit="1/s", values=rates[:1])
    yield Figure(name=f"{name}: last", unit="1/s", values=rates[-1:])
    yield Figure(name=f"{name}: lowest", unit="1/s", values=[min(rates)])
    yield Figure(name=f"{name}: mean", unit="1/s", values=[sum(rates) / len(rates)])
    yield Figure(
        name=f"{name}: last against first",
        unit="ratio",
        values=[rates[-1] / max(rates[0], 1.0)],
        target=TARGETS[result.held] if result.contestant.name == US else None,
    )


def _fill(contestant: Contestant, conninfo: str, history: int) -> None:
    """Puts ended jobs where the contestant keeps them, by SQL and past its functions."""
    if history and contestant.fill:
        with connect(conninfo) as conn:
            conn.execute(contestant.fill.encode().replace(b"$rows", str(history).encode()))
            conn.execute("vacuum (analyze)")


def _loop(
    contestant: Contestant, conninfo: str, seconds: float, slice_seconds: float, held: str
) -> list[float]:
    """Returns the jobs a second of all processes together, slice by slice."""
    arguments = ("loop", str(BATCH), str(seconds), str(slice_seconds))
    with (
        start_together(contestant, conninfo, arguments, count=PROCESSES) as (processes, go),
        _holding(conninfo, HELD[held] * seconds),
    ):
        go()
        counts = [_counts(process) for process in processes]
    return [sum(column) / slice_seconds for column in zip(*counts, strict=True)]


@contextmanager
def _holding(conninfo: str, seconds: float) -> Iterator[None]:
    """Holds a snapshot for so long from now on, or until the block ends."""
    if not seconds:
        yield
        return
    with connect(conninfo) as conn:
        conn.execute("begin isolation level repeatable read")
        conn.execute("select count(*) from pg_class")  # takes the snapshot
        timer = threading.Timer(seconds, conn.execute, ["rollback"])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def _counts(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None  # noqa: S101 - a pipe
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args!r} died")
    counts: list[int] = json.loads(line)
    return counts


if __name__ == "__main__":
    main(bench, "python -m loadtest.bench_flat")
