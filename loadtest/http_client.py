"""A closed loop of HTTP requests over kept connections.

By hand, because Python's HTTP clients take several times the processor time of the server that they
measure: this one writes a request that is made once and looks at nothing in the answer but its status and its
length.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """What a run saw."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds, one for each answer."""
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Returns a percentile of the latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000

    @property
    def median(self) -> float:
        """The median latency in milliseconds."""
        return statistics.median(self.latencies) * 1000


def request_bytes(method: str, path: str, *, key: str | None = None, body: bytes = b"") -> bytes:
    """Returns a request as it goes over the line."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Accept: application/json"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def run(port: int, next_request: Callable[[], bytes], *, connections: int, seconds: float) -> Outcome:
    """Sends requests for so long over so many connections, each with one under way at any time."""
    outcome = Outcome()
    began = time.perf_counter()
    give_up_at = began + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (sent := time.perf_counter()) < give_up_at:
                writer.write(next_request())
                outcome.statuses[await read_answer(reader)] += 1
                outcome.latencies.append(time.perf_counter() - sent)
        finally:
            writer.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
    outcome.seconds = time.perf_counter() - began
    return outcome


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Reads one answer and returns its status."""
    head = await reader.readuntil(b"\r\n\r\n")
    start = head.lower().find(b"content-length:")
    if start >= 0:
        length = int(head[start + 15 : head.index(b"\r\n", start)])
        if length:
            await reader.readexactly(length)
    return int(head[9:12])


def rotating(requests: Sequence[bytes]) -> Callable[[], bytes]:
    """Returns a function that gives the requests in turn."""
    position = -1

    def next_request() -> bytes:
        nonlocal position
        position = (position + 1) % len(requests)
        return requests[position]

    return next_request
