"""What a ticker or a worker counts: its own part, to be summed over all of them.

What is told once for all of them (job_executions_total, active_jobs_count) the API tells, from the database.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.metadata import version

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, start_http_server

from workers.histogram import Durations, DurationsBy

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each that there is

MOST_QUEUES = 100
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)

_attempts = Counter("worker_attempts", "Attempts that this worker ended", ["job_type", "status"])
active = Gauge("worker_active_attempts", "Attempts that this worker runs now")
_wait = DurationsBy(
    "job_wait_seconds", "From the time an execution was to run until its claim", "queue", buckets=SECONDS
)
_run = DurationsBy("job_run_seconds", "How long executions ran in this worker", "job_type", buckets=SECONDS)
stale = Counter(
    "job_finishes_refused", "Ends that the database refused, because the attempt was no longer ours"
)
lateness = Histogram(
    "job_fire_lateness_seconds", "How late the oldest due fire of a tick was decided", buckets=SECONDS
)
ticker = Gauge("ticker_active", "1 while this ticker looks after the shards", ["shard_group"])
_node = Gauge("node_info", "1: who tells these", ["node_id", "version"])

_queues: set[str] = set()


# Kept, because labels() takes longer than what is done to what it returns.


@cache
def attempts(job_type: str, status: str) -> Counter:
    """The counter of such attempts."""
    return _attempts.labels(job_type=job_type, status=status)


@cache
def run(job_type: str) -> Durations:
    """The run times of a job type."""
    return _run.labels(job_type)


@lru_cache(maxsize=2 * MOST_QUEUES)
def wait(queue: str) -> Durations:
    """The waits of a queue: of the first hundred that were seen; all others are one, "other"."""
    if queue not in _queues and len(_queues) >= MOST_QUEUES:
        return _wait.labels("other")
    _queues.add(queue)
    return _wait.labels(queue)


def serve_metrics(port: int, *, node_id: str) -> None:
    """Answer Prometheus on the port; raises OSError when it is taken."""
    _node.labels(node_id, version("pgtick")).set(1)
    start_http_server(port)
