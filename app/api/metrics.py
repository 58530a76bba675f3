"""What the API counts of its requests, under the name of the contract."""

from __future__ import annotations

from prometheus_client import Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each that there is

# 0.2 is a bound of its own: the promise is about it.
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2.5, 5)
CLIENT_LEFT = 499
"""The status of a request whose client did not wait for an answer."""
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
    key = (method if method in METHODS else "other", route, status or CLIENT_LEFT)
    child = _children.get(key)
    if child is None:  # labels() looks them up under a lock
        child = _children[key] = requests.labels(*map(str, key))
    child.observe(seconds)
