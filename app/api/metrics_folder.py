"""Where the processes on one port put what they count, so that each can tell what all of them did.

prometheus_client keeps a file for each process; the parent adds the counters of one that has ended to a file
of the dead, so that they neither fall nor pile up.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
LOCK = "dead.lock"
"""Held by who reads (shared) and by who moves counters from one file to another."""
LASTING = ("counter", "histogram", "summary")


class MetricsFolder:
    """The parent's side of it."""

    def __init__(self) -> None:
        """Makes the folder."""
        self.path = Path(tempfile.mkdtemp(prefix="pgtick-metrics-"))
        (self.path / LOCK).touch(0o600)

    def bury(self, pid: int) -> None:
        """Takes over what a process that has ended counted."""
        with self._locked():
            for file in self.path.glob(f"*_{pid}.db"):
                kind = file.name.split("_")[0]
                if kind in LASTING:
                    _add(file, to=self.path / f"{kind}_dead.db")
                file.unlink()

    def close(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        lock = os.open(self.path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def shared_folder() -> Path | None:
    """Returns the folder that this process shares with others, if it does."""
    path = os.environ.get(VARIABLE)
    return Path(path) if path else None


def _add(file: Path, *, to: Path) -> None:
    total = MmapedDict(str(to))  # type: ignore[no-untyped-call]
    for key, value, timestamp, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
        before, _ = total.read_value(key)  # type: ignore[no-untyped-call]
        total.write_value(key, before + value, timestamp)  # type: ignore[no-untyped-call]
    total.close()  # type: ignore[no-untyped-call]
