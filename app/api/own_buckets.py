"""The buckets of a process that decides alone: of each, its share of the one that all have together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from app.api.limit_rules import Limit

MOST_BUCKETS = 50_000
ROUNDING = 1e-6
"""Of a cell: the clock is a large number, beside which a sum of intervals is not exact."""

BucketKey: TypeAlias = tuple[str, ...]


class Promise(msgspec.Struct, frozen=True):
    """When a cell of each bucket may be used; it is reserved if that is not too late."""

    at: float
    reserved: bool
    level: int
    """The bucket with the fewest cells."""
    left: int
    full_seconds: float


class OwnBuckets:
    """Buckets by GCRA: each is the time of the monotonic clock at which it will be full again."""

    def __init__(self) -> None:
        self.empty_at = -math.inf
        """When all of them counted as empty."""
        self._full_at: dict[BucketKey, float] = {}

    def reserve(
        self, keys: Sequence[BucketKey], limits: Sequence[Limit], *, now: float, share: float, latest: float
    ) -> Promise:
        """Reserves a cell of each bucket for when all have one; none if that is too late.

        Until a time t, no more cells are promised than share * rate * (t - empty_at).
        """
        buckets = [self._bucket(key, limit, now, share) for key, limit in zip(keys, limits, strict=True)]
        at = max(now, *(full_at + interval - depth for full_at, interval, depth in buckets))
        reserved = at <= latest
        if reserved:
            if len(self._full_at) > MOST_BUCKETS:
                self._full_at = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
            buckets = [(full_at + interval, interval, depth) for full_at, interval, depth in buckets]
            for key, (full_at, _, _) in zip(keys, buckets, strict=True):
                self._full_at[key] = full_at
        # The fewest cells; of those that have none, the one that has to be waited for the longest.
        left, _, level = min(
            (
                max(0, math.floor((now + depth - full_at) / interval + ROUNDING)),
                depth - full_at - interval,
                level,
            )
            for level, (full_at, interval, depth) in enumerate(buckets)
        )
        return Promise(at, reserved, level, left, max(0.0, buckets[level][0] - now))

    def _bucket(self, key: BucketKey, limit: Limit, now: float, share: float) -> tuple[float, float, float]:
        interval = 1 / (limit.rate * share)
        depth = interval * max(1, math.floor(limit.burst * share))
        return max(now, self.empty_at + depth, self._full_at.get(key, now)), interval, depth
