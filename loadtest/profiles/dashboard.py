"""Reads only: what dashboards poll.

    PGTICK_API_KEYS=… locust -f loadtest/profiles/dashboard.py --headless -H http://127.0.0.1:8080 -u 1 -t 60s

PGTICK_LOAD_RATE is how many requests a second there are (default 170: 10,000 a minute).
"""

from __future__ import annotations

import random

from loadtest.profiles.arrivals import Arrivals, weighted

PAGE = "/v1/jobs?limit=50"


class Reader(Arrivals):
    """What a reader may look at; kinds of readers say how often."""

    abstract = True

    def learn(self) -> None:
        """Learns which jobs and executions there are."""
        self.jobs = [job["job_id"] for job in self.ask(PAGE)]
        self.executions = [each["execution_id"] for each in self.ask("/v1/executions?limit=50")]

    def look_at_a_job(self) -> None:
        """A job's page."""
        self.send("GET", f"/v1/jobs/{random.choice(self.jobs)}", name="/v1/jobs/{id}")

    def look_at_its_executions(self) -> None:
        """What a job did lately."""
        path = f"/v1/jobs/{random.choice(self.jobs)}/executions?limit=20"
        self.send("GET", path, name="/v1/jobs/{id}/executions")

    def list_jobs(self) -> None:
        """The list of jobs."""
        self.send("GET", PAGE, name="/v1/jobs")

    def list_executions(self) -> None:
        """The newest executions."""
        status = random.choice(("", "&status=failed", "&status=succeeded", "&status=running"))
        self.send("GET", f"/v1/executions?limit=20{status}", name="/v1/executions")

    def look_at_an_execution(self) -> None:
        """What became of an execution."""
        self.send("GET", f"/v1/executions/{random.choice(self.executions)}", name="/v1/executions/{id}")

    def look_at_statistics(self) -> None:
        """The overview."""
        self.send("GET", random.choice(("/v1/stats", "/v1/queues", "/v1/workers")), name="overview")


class Dashboard(Reader):
    """Overview and lists again and again, a job or an execution now and then."""

    kinds = weighted(
        {
            Reader.look_at_statistics: 30,
            Reader.list_executions: 25,
            Reader.list_jobs: 20,
            Reader.look_at_its_executions: 10,
            Reader.look_at_a_job: 10,
            Reader.look_at_an_execution: 5,
        }
    )
