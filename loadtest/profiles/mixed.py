"""The mixed profile: people who look at dashboards, and services that enqueue and ask what became of it.

PGTICK_API_KEYS=… locust -f loadtest/profiles/mixed.py --headless -H http://127.0.0.1:8080 -u 1 -t 60s
"""

from __future__ import annotations

import random
from typing import Any

from loadtest.profiles.arrivals import weighted
from loadtest.profiles.dashboard import Reader

EXECUTIONS_KNOWN = 200


class Mixed(Reader):
    """Four reads of five, one in seven an enqueue, one in a hundred a hundred of them."""

    def enqueue(self) -> None:
        """One piece of work."""
        body = {"job_type": "python", "target": "noop", "payload": {"n": random.randrange(1000)}}
        self.send("POST", "/v1/executions", name="/v1/executions", body=body, then=self._remember)

    def enqueue_many(self) -> None:
        """A hundred pieces."""
        items = [{"job_type": "python", "target": "noop", "payload": n} for n in range(100)]
        self.send("POST", "/v1/executions/bulk", name="/v1/executions/bulk", body={"items": items})

    def _remember(self, execution: dict[str, Any]) -> None:
        self.executions = [*self.executions[-EXECUTIONS_KNOWN:], execution["execution_id"]]

    kinds = weighted(
        {
            Reader.look_at_a_job: 25,
            Reader.look_at_its_executions: 15,
            Reader.list_jobs: 10,
            Reader.list_executions: 15,
            Reader.look_at_statistics: 5,
            Reader.look_at_an_execution: 15,
            enqueue: 14,
            enqueue_many: 1,
        }
    )
