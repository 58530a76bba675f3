"""The mixed profile: people who look at dashboards, and services that enqueue and ask what became of it.

    PGTICK_API_KEY=… locust -f loadtest/locustfile.py --headless -H http://127.0.0.1:3000 -u 50 -r 50 -t 60s

PGTICK_LOAD_RATE is how many requests a second all users together aim at (default 170: 10,000 a minute).
The run fails (exit code 1) when a request failed or the 95th percentile reached 200 ms.
"""

from __future__ import annotations

import os
import random
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task
from locust.env import Environment
from locust.runners import WorkerRunner

RATE = float(os.environ.get("PGTICK_LOAD_RATE", "170"))
P95_LIMIT_MS = 200
JOBS_KNOWN = 50
EXECUTIONS_KNOWN = 200


class Caller(FastHttpUser):
    """One of many with the same rate; what it got to know it asks for again."""

    def wait_time(self) -> float:
        """Waits so that all users together make RATE requests a second."""
        users = max(1, self.environment.runner.target_user_count if self.environment.runner else 1)
        wait: float = constant_throughput(RATE / users)(self)
        return wait

    def on_start(self) -> None:
        """Learns which jobs there are."""
        self.client.auth_header = None
        self.headers = {"Authorization": f"Bearer {os.environ['PGTICK_API_KEY']}"}
        self.executions: list[str] = []
        page = self._get("/v1/jobs?limit=50", name="/v1/jobs")
        self.jobs = [job["job_id"] for job in page.get("items", [])][:JOBS_KNOWN]

    @task(25)
    def look_at_a_job(self) -> None:
        """A job's page."""
        if self.jobs:
            self._get(f"/v1/jobs/{random.choice(self.jobs)}", name="/v1/jobs/{id}")

    @task(15)
    def look_at_its_executions(self) -> None:
        """What a job did lately."""
        if self.jobs:
            job_id = random.choice(self.jobs)
            self._get(f"/v1/jobs/{job_id}/executions?limit=20", name="/v1/jobs/{id}/executions")

    @task(10)
    def list_jobs(self) -> None:
        """The list of jobs."""
        self._get("/v1/jobs?limit=50", name="/v1/jobs")

    @task(15)
    def list_executions(self) -> None:
        """The newest executions."""
        status = random.choice(("", "&status=failed", "&status=succeeded", "&status=running"))
        self._get(f"/v1/executions?limit=20{status}", name="/v1/executions")

    @task(5)
    def look_at_statistics(self) -> None:
        """The overview."""
        self._get(random.choice(("/v1/stats", "/v1/queues", "/v1/workers")), name="overview")

    @task(15)
    def ask_what_became_of_it(self) -> None:
        """An execution that this caller enqueued."""
        if self.executions:
            self._get(f"/v1/executions/{random.choice(self.executions)}", name="/v1/executions/{id}")

    @task(14)
    def enqueue(self) -> None:
        """One piece of work."""
        body = {"job_type": "python", "target": "noop", "payload": {"n": random.randrange(1000)}}
        answer = self._post("/v1/executions", body)
        if "execution_id" in answer:
            self.executions = [*self.executions[-EXECUTIONS_KNOWN:], answer["execution_id"]]

    @task(1)
    def enqueue_many(self) -> None:
        """A burst of a hundred."""
        items = [{"job_type": "python", "target": "noop", "payload": n} for n in range(100)]
        self._post("/v1/executions/bulk", {"items": items})

    def _get(self, path: str, *, name: str) -> dict[str, Any]:
        return self._json(self.client.get(path, name=name, headers=self.headers))

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json(self.client.post(path, json=body, headers=self.headers))

    def _json(self, response: Any) -> dict[str, Any]:
        found = response.json() if response.status_code < 300 else {}
        return found if isinstance(found, dict) else {}


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def judge(environment: Environment, **_: Any) -> None:
    """Fails the run that missed the promise."""
    if isinstance(environment.runner, WorkerRunner):
        return
    total = environment.stats.total
    p95 = total.get_response_time_percentile(0.95) or 0
    if total.num_failures or p95 >= P95_LIMIT_MS or not total.num_requests:
        environment.process_exit_code = 1
