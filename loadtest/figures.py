"""What a benchmark found out, as a table for people and as JSON for comparisons."""

from __future__ import annotations

import os
import platform
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import psycopg

SHOWN_SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "shared_buffers",
    "max_wal_size",
    "wal_compression",
    "jit",
)


class Target(msgspec.Struct, frozen=True):
    """What a figure should reach."""

    limit: float
    kind: Literal["at most", "at least"] = "at most"

    def is_met(self, value: float) -> bool:
        """Tells whether a value reaches the target."""
        return value <= self.limit if self.kind == "at most" else value >= self.limit


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measured quantity: a value for each round."""

    name: str
    unit: str
    values: list[float]
    target: Target | None = None

    @property
    def median(self) -> float:
        """The middle one of the rounds."""
        return statistics.median(self.values)

    def document(self) -> dict[str, Any]:
        """Returns the figure as it is written to JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "lowest": min(self.values),
            "highest": max(self.values),
            "rounds": len(self.values),
            "values": self.values,
            "target": self.target and f"{self.target.kind} {self.target.limit:g}",
            "met": self.target and self.target.is_met(self.median),
        }


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one benchmark and what they hold for."""

    benchmark: str
    note: str
    figures: list[Figure]
    settings: dict[str, str] = {}

    def document(self) -> dict[str, Any]:
        """Returns the report as it is written to JSON."""
        return {
            "benchmark": self.benchmark,
            "note": self.note,
            "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "settings": self.settings,
            "figures": [figure.document() for figure in self.figures],
        }

    def table(self) -> str:
        """Returns the report as aligned text."""
        rows = [("", "median", "spread", "", "target")]
        for figure in self.figures:
            low, high = min(figure.values), max(figure.values)
            spread = f"{_short(low)} to {_short(high)}" if len(figure.values) > 1 else ""
            goal = ""
            if figure.target:
                verdict = "met" if figure.target.is_met(figure.median) else "MISSED"
                goal = f"{figure.target.kind} {_short(figure.target.limit)}: {verdict}"
            rows.append((figure.name, _short(figure.median), spread, figure.unit, goal))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [f"{self.benchmark}: {self.note}"]
        for name, median, spread, unit, goal in rows:
            cells = (
                name.ljust(widths[0]),
                median.rjust(widths[1]),
                spread.rjust(widths[2]),
                unit.ljust(widths[3]),
                goal,
            )
            lines.append(("  " + "  ".join(cells)).rstrip())
        return "\n".join(lines)


def machine() -> dict[str, Any]:
    """Returns what the figures depend on, as far as the operating system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (cpuinfo.read_text().splitlines() if cpuinfo.exists() else [])
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "psycopg": psycopg.__version__,
    }


def server_settings(conn: psycopg.Connection[Any]) -> dict[str, str]:
    """Returns those settings of a server that its speed depends on most."""
    rows = conn.execute(
        "select name, current_setting(name) from pg_settings where name = any (%s)", [list(SHOWN_SETTINGS)]
    )
    return dict(rows.fetchall())


def percentile(values: list[float], percent: int) -> float:
    """Returns the smallest value that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
