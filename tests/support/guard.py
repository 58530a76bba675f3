"""Ends what a test process started and removes its folders, should that process be killed.

A fixture cleans up after itself; but nobody cleans up after a `kill -9`, and pytest's default for SIGTERM is
to die as well. So each test process has a guard: a process of its own, told what there is, that acts when its
input ends.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from app.binaries import ClusterError
from app.cluster import Cluster

PATIENCE_SECONDS = 5.0
ROOT = Path(__file__).resolve().parents[2]


class Guard:
    """The test's side of it."""

    def __init__(self) -> None:
        """Starts it, out of reach of what is sent to the test's process group."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.guard"],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )

    def add_program(self, pid: int) -> None:
        """Has a process and its group ended."""
        self._tell("+program", pid)

    def remove_program(self, pid: int) -> None:
        """Forgets a process that has ended."""
        self._tell("-program", pid)

    def add_cluster(self, home: Path) -> None:
        """Has the PostgreSQL server of that home stopped; to be told before it starts."""
        self._tell("+cluster", home)

    def add_folder(self, folder: Path) -> None:
        """Has a folder removed, and what runs in it stopped before."""
        self._tell("+folder", folder)

    def remove_folder(self, folder: Path) -> None:
        """Forgets a folder, with the servers that had their homes in it."""
        self._tell("-folder", folder)

    def close(self) -> None:
        """Has it do what is left to do, and waits."""
        self._process.communicate()

    def _tell(self, order: str, value: int | Path) -> None:
        assert self._process.stdin is not None
        os.write(self._process.stdin.fileno(), f"{order} {value}\n".encode())


@cache
def guard() -> Guard:
    """Returns this process's guard; the first call starts it."""
    started = Guard()
    atexit.register(started.close)
    return started


def main() -> None:
    """Takes notes until the input ends, then ends and removes what is noted."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    programs: set[int] = set()
    homes: set[Path] = set()
    folders: set[Path] = set()
    for line in sys.stdin:
        order, value = line.rstrip("\n").split(" ", 1)
        if order == "+program":
            programs.add(int(value))
        elif order == "-program":
            programs.discard(int(value))
        elif order == "+cluster":
            homes.add(Path(value))
        elif order == "+folder":
            folders.add(Path(value))
        else:
            folders.discard(Path(value))
            homes = {home for home in homes if not home.is_relative_to(value)}
    _end(programs)
    for home in homes:
        _stop_cluster(Cluster(home))
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _end(programs: set[int]) -> None:
    """Asks each to end, at once and by a signal that every server takes for that, and kills what stays."""
    for pid in programs:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGCONT)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while any(is_alive(pid) for pid in programs) and time.monotonic() < give_up_at:
        time.sleep(0.02)
    for pid in programs:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Tells whether there is such a process, not counting one that only waits to be noticed."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _stop_cluster(cluster: Cluster) -> None:
    pid = cluster.pid()
    if pid is None:
        return
    with suppress(ProcessLookupError, ClusterError):
        os.kill(pid, signal.SIGCONT)
        cluster.stop()


if __name__ == "__main__":
    main()
