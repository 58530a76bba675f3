"""The load tests judge by what callers see, also of a server that stops for a while."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from loadtest.locusts import Entry, Outcome, judge, run_locust
from loadtest.profiles import PROFILES

RATE = 50
SECONDS = 5
STALL_SECONDS = 2.0
BODY = json.dumps({"items": [{"job_id": "a", "execution_id": "b"}]}).encode()


class Stalling(ThreadingHTTPServer):
    """Once, it answers nobody for a while."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.stalls_at = time.monotonic() + 1000


class Answer(BaseHTTPRequestHandler):
    """The same to every question."""

    protocol_version = "HTTP/1.1"
    server: Stalling

    def do_GET(self) -> None:
        """Answers, if it has to be after the stall."""
        late = time.monotonic() - self.server.stalls_at
        if self.path == "/v1/jobs?limit=50" and late < -100:  # the first question: the load begins
            self.server.stalls_at = time.monotonic() + 1
        if 0 < late < STALL_SECONDS:
            time.sleep(STALL_SECONDS - late)
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Where such a server listens."""
    with Stalling() as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_who_waits_is_counted(url: str) -> None:
    """A closed loop would have sent one request for each user into the stall, and shown a good p95."""
    profile = PROFILES["dashboard"]
    outcome = run_locust(profile, url=url, rate=RATE, seconds=SECONDS, environ={"PGTICK_API_KEYS": "key"})
    total = outcome.total()
    assert total.num_failures == 0
    assert RATE * SECONDS * 0.7 < total.num_requests < RATE * SECONDS * 1.3
    # Two of five seconds' requests came into it, and waited a second on average.
    assert total.percentile(50) < STALL_SECONDS * 1000 * 0.25
    assert total.percentile(80) > STALL_SECONDS * 1000 * 0.3
    assert judge(profile, outcome) == [f"p95 of all is {total.percentile(95):,} ms, the limit is 200 ms"]


def entry(name: str, *, milliseconds: int = 10, failures: int = 0) -> Entry:
    """A hundred requests that took the same time."""
    return Entry(name=name, num_requests=100, num_failures=failures, response_times={milliseconds: 100})


def test_percentiles() -> None:
    """The value that so many percent do not exceed."""
    seen = Entry(name="x", num_requests=100, response_times={1: 90, 2: 5, 300: 5})
    assert [seen.percentile(percent) for percent in (50, 90, 95, 96, 99)] == [1, 1, 2, 300, 300]


@pytest.mark.parametrize(
    ("entries", "missed"),
    [
        ([entry("/v1/jobs"), entry("overview"), entry("greedy"), entry("greedy, refused")], []),
        (
            [entry("/v1/jobs", failures=3), entry("overview"), entry("greedy"), entry("greedy, refused")],
            ["3 of 100 requests to /v1/jobs failed"],
        ),
        (
            [entry("/v1/jobs"), entry("overview", milliseconds=200), entry("greedy")],
            ["p95 of overview… is 200 ms, the limit is 200 ms", "the greedy client was never refused"],
        ),
        (
            [entry("overview"), entry("greedy"), entry("greedy, refused")],
            ["no request to /v1/… was answered"],
        ),
    ],
)
def test_what_is_missed_is_named(entries: list[Entry], missed: list[str]) -> None:
    """Each limit for itself."""
    assert judge(PROFILES["greedy"], Outcome(entries, 1, 0, 0)) == missed
