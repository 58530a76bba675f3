"""Rows as a table for people or as JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

import click

from app.documents import to_json

OutputFormat = Literal["table", "json"]
LONGEST_CELL = 60

output_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="How to print.",
)
"""Adds `-o table|json` to a command, as its argument `output`."""


def print_rows(
    rows: Iterable[Mapping[str, Any]], *, output: OutputFormat = "table", cut: bool = True
) -> None:
    """Prints rows of equal keys: a table with the keys as its head and long cells cut, or a JSON array."""
    rows = list(rows)
    if output == "json":
        click.echo(to_json(rows, indent=2))
        return
    if not rows:
        click.echo("(none)")
        return
    columns = list(rows[0])
    cells = [[_to_cell(row[name], cut=cut) for name in columns] for row in rows]
    widths = [max(len(line[i]) for line in [columns, *cells]) for i in range(len(columns))]
    for line in [columns, *cells]:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def print_row(row: Mapping[str, Any], *, output: OutputFormat = "table") -> None:
    """Prints one row: a line for each of its columns, or a JSON object."""
    if output == "json":
        click.echo(to_json(dict(row), indent=2))
        return
    width = max(map(len, row))
    for name, value in row.items():
        click.echo(f"{name.ljust(width)}  {_to_text(value)}".rstrip())


def _to_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.isoformat(sep=" ", timespec="milliseconds" if value.microsecond else "seconds")
        case list() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case dict() | list():
            return to_json(value)
    return str(value)


def _to_cell(value: Any, *, cut: bool) -> str:
    text = " ".join(_to_text(value).split())
    return text if len(text) <= LONGEST_CELL or not cut else f"{text[: LONGEST_CELL - 1]}…"
