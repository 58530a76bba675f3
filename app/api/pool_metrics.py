"""How the pools of this process stand, as metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import Counter, Gauge

from app.api.replicas import Source

LABELS = ["pool"]

_open = Gauge("db_pool_connections", "Connections that are open", LABELS, multiprocess_mode="livesum")
_used = Gauge("db_pool_connections_in_use", "Those in use now", LABELS, multiprocess_mode="livesum")
_most = Gauge("db_pool_connections_max", "So many may be open", LABELS, multiprocess_mode="livesum")
_waiting = Gauge(
    "db_pool_requests_waiting", "Requests that wait for a connection now", LABELS, multiprocess_mode="livesum"
)

# What the pool counts, in which unit, and under which name.
_COUNTERS = {
    "requests_num": (Counter("db_pool_requests", "Connections asked for", LABELS), 1),
    "requests_queued": (Counter("db_pool_requests_queued", "Those that had to wait", LABELS), 1),
    "requests_errors": (Counter("db_pool_request_errors", "Those that got none", LABELS), 1),
    "requests_wait_ms": (Counter("db_pool_wait_seconds", "How long they waited", LABELS), 0.001),
    "usage_ms": (Counter("db_pool_usage_seconds", "How long connections were in use", LABELS), 0.001),
    "connections_num": (Counter("db_pool_connects", "Connections begun", LABELS), 1),
    "connections_errors": (Counter("db_pool_connect_errors", "Those that failed", LABELS), 1),
    "connections_lost": (Counter("db_pool_connections_lost", "Found dead when given back", LABELS), 1),
}


class PoolMetrics:
    """Carries over what the pools have counted since the last time."""

    def __init__(self, sources: Iterable[Source]) -> None:
        """Takes the pools; nothing is asked of them but their own statistics."""
        self._sources = tuple(sources)
        self._seen: dict[str, Mapping[str, int]] = {}

    def update(self) -> None:
        """Brings the metrics up to date."""
        for source in self._sources:
            name, stats = source.name, source.pool.get_stats()
            before = self._seen.get(name, {})
            _open.labels(name).set(stats["pool_size"])
            _used.labels(name).set(stats["pool_size"] - stats["pool_available"])
            _most.labels(name).set(stats["pool_max"])
            _waiting.labels(name).set(stats["requests_waiting"])
            for key, (counter, unit) in _COUNTERS.items():
                counter.labels(name).inc((stats.get(key, 0) - before.get(key, 0)) * unit)
            self._seen[name] = stats
