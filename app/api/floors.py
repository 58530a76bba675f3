"""What an answer must include: for each tag, the LSN of the newest change that is known.

A floor is an LSN taken from the primary once the change can be seen. An answer includes a floor for certain
if the LSN that was seen before its data was read is *above* it. Equal is not enough: on the primary a commit
is in the log before it can be seen, and a read in between sees an LSN that covers the commit, and data that
does not. So what an answer includes for certain (`included`) is one less than the LSN that was seen; LSNs are
multiples of eight, so that excludes nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

MAX_TAGS = 10_000


def included(seen_lsn: int) -> int:
    """Returns what an answer includes for certain whose data was read after this LSN was seen."""
    return seen_lsn - 1


class Floors:
    """For each tag the LSN that answers with that tag must include."""

    def __init__(self) -> None:
        self._all = 0
        self._tags: dict[str, int] = {}

    def floor_of(self, tags: Iterable[str]) -> int:
        """Returns the floor of what bears these tags; what bears none never changes."""
        floor = 0
        for tag in tags:
            floor = max(floor, self._all, self._tags.get(tag, 0))
        return floor

    def raise_floor(self, tag: str, lsn: int) -> None:
        """Makes answers with this tag that are older than the LSN unfit."""
        if lsn > self._tags.get(tag, 0):
            self._tags[tag] = lsn
            if len(self._tags) > MAX_TAGS:  # costs a fill of everything, once in so many changes
                self.raise_all(max(self._tags.values()))

    def raise_all(self, lsn: int) -> None:
        """Makes all answers that are older than the LSN unfit, but for those that never change."""
        self._all = max(self._all, lsn)
        self._tags = {tag: floor for tag, floor in self._tags.items() if floor > self._all}

    def reset(self, lsn: int) -> None:
        """Starts anew, in another history."""
        self._all = lsn
        self._tags.clear()
