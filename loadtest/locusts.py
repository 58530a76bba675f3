"""Runs locust with a profile and reads what it saw."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec

from loadtest.profiles import FOLDER, Profile


class Entry(msgspec.Struct, kw_only=True):
    """What became of the requests of one kind."""

    method: str | None = None
    name: str
    num_requests: int = 0
    num_failures: int = 0
    response_times: dict[int, int] = {}
    """Milliseconds (from 100 on rounded to two digits) and how many answers took them."""

    def percentile(self, percent: int) -> int:
        """Returns the smallest latency, in milliseconds, that so many percent do not exceed."""
        left = -(-sum(self.response_times.values()) * percent // 100)
        for milliseconds in sorted(self.response_times):
            left -= self.response_times[milliseconds]
            if left <= 0:
                return milliseconds
        return 0


class Outcome(msgspec.Struct, frozen=True):
    """What a run saw."""

    entries: list[Entry]
    seconds: float
    generator_seconds: float
    """The processor time of locust itself,"""
    generator_bytes: int
    """and its memory at most."""

    def total(self, names: str = "") -> Entry:
        """Returns the entries whose names begin so as one."""
        counts: Counter[int] = Counter()
        result = Entry(name=f"{names}…" if names else "all")
        for entry in self.entries:
            if entry.name.startswith(names):
                counts.update(entry.response_times)
                result.num_requests += entry.num_requests
                result.num_failures += entry.num_failures
        result.response_times = dict(counts)
        return result


def run_locust(
    profile: Profile,
    *,
    url: str,
    rate: float,
    seconds: int,
    environ: Mapping[str, str],
    html: Path | None = None,
) -> Outcome:
    """Has locust send so many requests a second for so long, and draw its own report if a path is given."""
    with tempfile.TemporaryDirectory(prefix="pgtick-load-") as folder:
        results = Path(folder) / "results"
        command = [sys.executable, "-m", "locust", "-f", str(FOLDER / profile.locustfile), "-H", url]
        command += ["--headless", "--only-summary", "--loglevel", "WARNING", "--exit-code-on-error", "0"]
        command += ["-u", str(profile.callers), "-r", "10", "-t", f"{seconds}s", "--json-file", str(results)]
        if html is not None:
            command += ["--html", str(html)]
        variables = {**os.environ, **environ, "PGTICK_LOAD_RATE": str(rate)}
        before = _children_seconds()
        done = subprocess.run(command, env=variables, stderr=subprocess.PIPE, text=True, check=False)
        # Only locust has ended meanwhile.
        generator_seconds = _children_seconds() - before
        path = results.with_suffix(".json")
        if done.returncode or not path.exists():
            raise RuntimeError(f"locust failed: {done.stderr[-3000:].strip()}")
        entries = msgspec.json.decode(path.read_bytes(), type=list[Entry])
        most_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        return Outcome(entries, seconds, generator_seconds, most_bytes)


def judge(profile: Profile, outcome: Outcome) -> list[str]:
    """Returns which limits were missed, each as a line."""
    missed = [
        f"{entry.num_failures:,} of {entry.num_requests:,} requests to {entry.name} failed"
        for entry in outcome.entries
        if entry.num_failures
    ]
    for limit in profile.limits:
        seen = outcome.total(limit.names)
        if not seen.num_requests:
            missed.append(f"no request to {seen.name} was answered")
        elif seen.percentile(95) >= limit.p95_ms:
            p95 = seen.percentile(95)
            missed.append(f"p95 of {seen.name} is {p95:,} ms, the limit is {limit.p95_ms:,.0f} ms")
    if profile.greed and not outcome.total("greedy, refused").num_requests:
        missed.append("the greedy client was never refused")
    return missed


def _children_seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime
