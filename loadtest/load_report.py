"""What a load test found out, for people: a table, the limits, and what each part took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loadtest.figures import machine
from loadtest.locusts import Entry, Outcome
from loadtest.usage import MACHINE, Usage

OTHERS = "others"
COLUMNS = ("", "requests", "a second", "failed", "p50 ms", "p95 ms", "p99 ms")


def section(
    name: str,
    does: str,
    *,
    rate: float,
    outcome: Outcome,
    spent: Mapping[str, Usage],
    facts: Sequence[str],
    missed: Sequence[str],
) -> str:
    """Returns what became of a profile, as Markdown."""
    entries = sorted(outcome.entries, key=lambda entry: (entry.name, entry.method or ""))
    rows = [*(_row(entry, outcome) for entry in entries), _row(outcome.total(), outcome)]
    verdict = [f"**Missed**: {line}." for line in missed] or ["All limits were kept."]
    lines = [
        f"## {name}: {does}",
        "",
        f"Planned: {rate:,.0f} requests a second for {outcome.seconds:g} s. Plots: [{name}]({name}.html).",
        "",
        *table([COLUMNS, *rows]),
        "",
        *(f"{fact}." for fact in facts),
        *verdict,
        "",
        *table(_usage_rows(spent)),
    ]
    return "\n".join(lines) + "\n"


def title() -> str:
    """Returns the head of a report."""
    about = machine()
    return (
        f"# Load test\n\n{about['cores']} cores ({about['processor']}), the load included; "
        f"Python {about['python']}, {about['system']}.\n"
    )


def usage_between(
    before: Mapping[str, Usage], after: Mapping[str, Usage], *, outcome: Outcome
) -> dict[str, Usage]:
    """Returns what each part took of a core in a run, the largest first; of locust, its start included.

    What nobody of ours took is that of the others who use the machine: with much of it, run again.
    """
    spent = {
        name: Usage(
            (each.processor_seconds - before[name].processor_seconds) / outcome.seconds, each.memory_bytes
        )
        for name, each in after.items()
    }
    machine_cores = spent.pop(MACHINE).processor_seconds
    spent["locust"] = Usage(outcome.generator_seconds / outcome.seconds, outcome.generator_bytes)
    spent = dict(sorted(spent.items(), key=lambda item: -item[1].processor_seconds))
    ours = sum(each.processor_seconds for each in spent.values())
    return spent | {OTHERS: Usage(max(0.0, machine_cores - ours), 0)}


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Returns a Markdown table, aligned to be read as it is too."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in rows
    ]
    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])]) + "|"
    return [lines[0], rule, *lines[1:]]


def _row(entry: Entry, outcome: Outcome) -> tuple[str, ...]:
    return (
        f"{entry.method or ''} {entry.name}".strip(),
        f"{entry.num_requests:,}",
        f"{entry.num_requests / outcome.seconds:,.1f}",
        f"{entry.num_failures:,}",
        *(f"{entry.percentile(percent):,}" for percent in (50, 95, 99)),
    )


def _usage_rows(spent: Mapping[str, Usage]) -> list[tuple[str, ...]]:
    rows = [
        (name, f"{each.processor_seconds:.2f}", f"{each.memory_bytes / 2**20:,.0f}")
        for name, each in spent.items()
    ]
    ours = sum(each.processor_seconds for name, each in spent.items() if name != OTHERS)
    return [("part", "cores", "MB"), *rows[:-1], ("**all of ours**", f"{ours:.2f}", ""), (*rows[-1][:2], "")]
