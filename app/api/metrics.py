"""The API's metrics, under the names of the contract."""

from __future__ import annotations

from prometheus_client import Histogram

# 0.2 is a bound of its own: the promise is about it.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

requests = Histogram(
    "http_request_duration_seconds",
    "From the first byte of a request until the last of its answer; streams are left out",
    ["method", "route", "status_code"],
    buckets=SECONDS,
)

_children: dict[tuple[str, str, int], Histogram] = {}


def request(method: str, route: str, status: int, seconds: float) -> None:
    """Counts a request. Nothing that a caller makes up becomes a label."""
    key = (method if method in METHODS else "other", route, status)
    child = _children.get(key)
    if child is None:  # labels() looks them up under a lock
        child = _children[key] = requests.labels(*map(str, key))
    child.observe(seconds)
