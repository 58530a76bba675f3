"""What each part of a running installation takes: processor time and memory, its child processes included."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

MACHINE = "machine"
TICKS = os.sysconf("SC_CLK_TCK")


class Usage(msgspec.Struct, frozen=True):
    """Of one part, since it began."""

    processor_seconds: float
    memory_bytes: int
    """Pages that several processes share are divided among them."""


def busy_seconds() -> float:
    """Returns the processor time that all of the machine has used since it began, its neighbours included."""
    # user nice system idle iowait irq softirq steal …
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / TICKS


def usage(parts: Mapping[str, Sequence[int]]) -> dict[str, Usage]:
    """Returns the usage of each part, which are known by the ids of their topmost processes."""
    children: dict[int, list[int]] = defaultdict(list)
    seconds: dict[int, float] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # After the name, which may hold anything: state, parent, … and from the 12th on the times, of the
            # process and of its children that have ended.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children[int(fields[1])].append(int(folder.name))
        seconds[int(folder.name)] = sum(map(int, fields[11:15])) / TICKS
    found = {}
    for name, roots in parts.items():
        pids = [pid for root in roots for pid in _family(root, children)]
        found[name] = Usage(sum(seconds.get(pid, 0) for pid in pids), sum(map(_memory_bytes, pids)))
    return found


def _family(pid: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    return [pid, *(member for child in children.get(pid, ()) for member in _family(child, children))]


def _memory_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
