"""Services that enqueue in bursts: five bulk enqueues of 500 at once; between them, look-ups.

PGTICK_API_KEYS=… locust -f loadtest/profiles/bursts.py --headless -H http://127.0.0.1:8080 -u 1 -t 60s
"""

from __future__ import annotations

from typing import Any

from loadtest.profiles.arrivals import weighted
from loadtest.profiles.dashboard import Reader

REQUESTS = 5
ITEMS = 500
EXECUTIONS_KNOWN = 10_000


class Bursts(Reader):
    """At 170 a second a burst of 2,500 executions about every 3 s."""

    def enqueue_a_burst(self) -> None:
        """Bulk enqueues, all planned for the same moment."""
        for _ in range(REQUESTS):
            items = [{"job_type": "python", "target": "noop", "payload": number} for number in range(ITEMS)]
            path = "/v1/executions/bulk"
            self.send("POST", path, name=path, body={"items": items}, then=self._remember)

    def _remember(self, answer: dict[str, Any]) -> None:
        self.executions = [*self.executions, *answer["execution_ids"]][-EXECUTIONS_KNOWN:]

    kinds = weighted({Reader.look_at_an_execution: 499, enqueue_a_burst: 1})
