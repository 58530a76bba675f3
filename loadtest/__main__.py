"""`python -m loadtest NAME…` runs benchmarks; without a name, all of them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import click

from loadtest.command import Output, main

# Name -> module with run(dsn) -> Report. In the order in which they are run.
BENCHMARKS = {
    "tick": "loadtest.bench_tick",
    "throughput": "loadtest.bench_throughput",
    "lateness": "loadtest.bench_lateness",
    "herd": "loadtest.bench_herd",
    "latency": "loadtest.bench_latency",
    "cron": "loadtest.bench_cron",
    "growth": "loadtest.bench_growth",
    "shapes": "loadtest.shapes",
}


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("names", metavar="[NAME]...", nargs=-1, type=click.Choice(list(BENCHMARKS)))
@click.option(
    "--dsn", help="As a superuser on this server, in a database made for it, not on a throw-away server."
)
@click.option("--json", "json_path", type=Output(), help="Also write the results to this file.")
def bench(names: tuple[str, ...], dsn: str | None, json_path: Path | None) -> None:
    """Measures this machine: tick, throughput, lateness, herd, latency, cron, growth, shapes. About a minute
    each; growth, with ten million ended executions, takes six to ten.
    """
    documents = []
    for name in names or BENCHMARKS:
        report = importlib.import_module(BENCHMARKS[name]).run(dsn)
        click.echo(report.table() + "\n")
        documents.append(report.document())
        if json_path is not None:
            json_path.write_text(json.dumps(documents, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(bench, "pgtick bench")
