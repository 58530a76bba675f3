"""What measures time against a promise has the machine to itself, also when several processes test."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Shares the machine with others who share it, or has it alone.

    Who wants it alone holds the door while he waits for those inside, so that he need not wait for ever.
    """
    with (folder / "door.lock").open("w") as door, (folder / "room.lock").open("w") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Works on behalf of who shares the machine, or will: not while somebody has it alone."""
    with (folder / "room.lock").open("w") as room:
        fcntl.flock(room, fcntl.LOCK_SH)
        yield
