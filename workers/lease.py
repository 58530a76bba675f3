"""The worker's lease: the time for which the database leaves it what it has claimed."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

from workers.keeper import now

MARGIN_SECONDS = 1.0
"""The worker stops its work this long before the database may give it to others."""


class Lease:
    """Kept by the heartbeat's thread, read by the others.

    A lease that was lost is not taken up again: the worker goes on under a new id, so that nothing that the
    old one still holds in the database is kept from others.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._worker_id = uuid4()
        self._end = 0.0
        self._held = False

    @property
    def worker_id(self) -> UUID:
        """The id under which the worker is known now."""
        return self._worker_id

    @property
    def held(self) -> bool:
        """Whether what was claimed may be worked on."""
        return self._held and now() < self._end

    @property
    def expired(self) -> bool:
        """Whether it was held, and is over."""
        return self._held and now() >= self._end

    @property
    def seconds_left(self) -> float:
        """How long it is still held; 0 when it is not."""
        return max(0.0, self._end - now()) if self._held else 0.0

    def renew(self, worker_id: UUID, *, asked_at: float) -> float | None:
        """Note a beat that the database took; counted from before it was sent. Returns the new end.

        None when the beat was for an id that is no longer ours, or its answer came too late.
        """
        with self._lock:
            end = asked_at + self._seconds - MARGIN_SECONDS
            if worker_id != self._worker_id or self.expired or end <= now():
                return None
            self._held = True
            self._end = end
            return end

    def give_up(self) -> None:
        """Start anew under another id."""
        with self._lock:
            self._worker_id = uuid4()
            self._held = False
