"""Chance as a string of bytes: a case is drawn, kept, replayed and shrunk as one.

A strategy for each part of a request costs Hypothesis tens of milliseconds a case; one draw of bytes, and
each choice reading the next of them, costs less than one. Zeros, and what is not there any more, are the
most ordinary choice, so that what Hypothesis shrinks a failure to has nothing odd in it but the odd part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """Choices read from bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, bound: int) -> int:
        """Returns a number from 0 to below the bound, which is at most 65,536."""
        size = 1 if bound <= 256 else 2
        read = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(read, "big") % bound

    def once_in(self, times: int) -> bool:
        """Tells whether something rare happens."""
        return self.below(times) == times - 1

    def of(self, values: Sequence[T]) -> T:
        """Returns one of the values, the first being the most ordinary."""
        return values[self.below(len(values))]
