"""Callers that come when they come: an open arrival rate.

A user of locust waits for an answer before thinking of the next request. A server that is slow so gets fewer
requests, and the time that those would have waited is in no figure (coordinated omission). Here one user
stands for all callers: requests are planned at random moments (Poisson) and sent then, whether or not earlier
ones were answered, and latency counts from the planned moment, whatever held the request up: the server, a
connection, or this process, should it not keep up.
"""

from __future__ import annotations

import gzip
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from gevent.pool import Group
from geventhttpclient import HTTPClient
from locust import User, stats, task
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

RATE = float(os.environ.get("PGTICK_LOAD_RATE", "170"))
KEYS = os.environ["PGTICK_API_KEYS"].split(",")
CONCURRENCY = 1000
"""No request waits for a connection while fewer than so many are under way."""
TIMEOUT_SECONDS = 10.0
"""A request that takes longer than this has failed."""
BLOCK_BYTES = 1 << 16
"""A page of jobs comes in one piece."""

# For the plots of the report: each second, over the five seconds before.
stats.HISTORY_STATS_INTERVAL_SEC = 1
stats.CURRENT_RESPONSE_TIME_PERCENTILE_WINDOW = 5
stats.PERCENTILES_TO_CHART = [0.5, 0.95, 0.99]


def weighted(weights: Mapping[Callable[[Any], None], int]) -> list[Any]:
    """Returns the kinds of requests, each as often as its weight says."""
    return [kind for kind, weight in weights.items() for _ in range(weight)]


class Arrivals(User):
    """All callers of one kind.

    By the client within locust's FastHttpUser: around it that takes as much processor time again, which here
    the servers would be short of.
    """

    abstract = True
    fixed_count = 1
    rate = RATE
    kinds: Sequence[Callable[[Any], None]] = ()
    """What they do, each as often as it is there: sends a request and does not wait for the answer."""

    def __init__(self, environment: Any) -> None:
        """Connects to nothing yet."""
        super().__init__(environment)
        self._client = HTTPClient.from_url(
            environment.host,
            concurrency=CONCURRENCY,
            connection_timeout=TIMEOUT_SECONDS,
            network_timeout=TIMEOUT_SECONDS,
            block_size=BLOCK_BYTES,
        )
        self._under_way = Group()
        self._planned = 0.0

    def on_start(self) -> None:
        """Learns what there is to ask for; the first request is planned for now."""
        self.learn()
        self._planned = time.perf_counter()

    def on_stop(self) -> None:
        """Waits for what is under way: an answer that takes long counts too."""
        self._under_way.join()

    def learn(self) -> None:
        """Learns what there is to ask for."""

    @task
    def send_what_is_due(self) -> None:
        """Sends all that is planned by now: more than one request where this process was late."""
        while self._planned <= time.perf_counter():
            random.choice(self.kinds)(self)
            self._planned += random.expovariate(self.rate)

    def wait_time(self) -> float:
        """Returns how long it is until the next request."""
        return max(0.0, self._planned - time.perf_counter())

    def send(
        self,
        method: str,
        path: str,
        *,
        name: str,
        body: Any = None,
        key: str | None = None,
        then: Callable[[Any], None] | None = None,
    ) -> None:
        """Sends a request on its way; `then` is given what a good answer holds."""
        self._under_way.spawn(self._exchange, self._planned, method, path, name, body, key, then)

    def ask(self, path: str) -> list[dict[str, Any]]:
        """Returns the items of a list, waiting for them."""
        found: list[dict[str, Any]] = []
        now = time.perf_counter()
        self._exchange(
            now, "GET", path, path.partition("?")[0], None, None, lambda page: found.extend(page["items"])
        )
        return found

    def fault(self, response: Any) -> Exception | None:
        """Returns why an answer counts as a failure, None if it does not."""
        status = response.status_code
        return None if status < 400 else ValueError(f"answered with {status}")

    def fire(self, **report: Any) -> None:
        """Reports a request to locust."""
        self.environment.events.request.fire(context={}, **report)

    def _exchange(
        self,
        planned: float,
        method: str,
        path: str,
        name: str,
        body: Any,
        key: str | None,
        then: Callable[[Any], None] | None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key or random.choice(KEYS)}", "Accept-Encoding": "gzip"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        response, content = None, b""
        try:
            response = self._client.request(
                method, path, body=b"" if body is None else msgspec.json.encode(body), headers=headers
            )
            content = bytes(response.read())
            error = self.fault(response)
        except FAILURE_EXCEPTIONS as failure:
            error = failure
        self.fire(
            request_type=method,
            name=name,
            response_time=(time.perf_counter() - planned) * 1000,
            response_length=len(content),
            response=response,
            exception=error,
        )
        if then is not None and error is None and response is not None:
            compressed = response.get("Content-Encoding") == "gzip"
            then(msgspec.json.decode(gzip.decompress(content) if compressed else content))
