"""The metrics of tickers and workers, under the names of the contract."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)

executions = Counter("job_executions", "Executions that this worker ended", ["job_type", "status"])
active = Gauge("active_jobs_count", "Executions that this worker runs now")
wait = Histogram(
    "job_wait_seconds", "From the time an execution was to run until its claim", ["queue"], buckets=SECONDS
)
run = Histogram("job_run_seconds", "How long executions ran in this worker", ["job_type"], buckets=SECONDS)
stale = Counter(
    "job_finishes_refused", "Ends that the database refused, because the attempt was no longer ours"
)
lateness = Histogram(
    "job_fire_lateness_seconds", "How late the oldest due fire of a tick was decided", buckets=SECONDS
)
ticker = Gauge("ticker_active", "1 while this ticker looks after the shards", ["shard_group"])


def serve_metrics(port: int) -> None:
    """Answer Prometheus on the port; raises OSError when it is taken."""
    start_http_server(port)
