"""The keeper: a tiny process that outlives its worker by a moment, to end what the worker left behind.

A worker that is killed cannot kill its children, and one that is frozen past its lease cannot stop them,
while others run the same executions again. The keeper holds the list of the worker's process groups and kills
them all when its input ends (the worker is gone) or when the lease has passed that the worker last told it
(the worker is frozen).

It is run as a file by a bare interpreter, and imports nothing of ours.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, as the database's clock does."""


def now() -> float:
    """Read the clock that leases are kept by on this machine."""
    return time.clock_gettime(CLOCK)


def kill_group(group: int) -> None:
    """Kill every process of a group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    """Follow the orders `+ group`, `- group` and `lease time` until the input ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    lease_end: float | None = None
    rest = b""
    while True:
        seconds = None if lease_end is None else max(0.0, lease_end - now())
        ready, _, _ = select.select([0], [], [], seconds)
        data = os.read(0, 65536) if ready else b""
        if not data:
            for group in groups:
                kill_group(group)
            if ready:
                return
            groups.clear()
            lease_end = None
            continue
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            order, value = line.split()
            if order == b"+":
                groups.add(int(value))
            elif order == b"-":
                groups.discard(int(value))
            else:
                lease_end = float(value)


if __name__ == "__main__":
    main()
