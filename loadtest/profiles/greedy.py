"""One client that sends many times what its rate limit allows, beside the clients of the mixed profile.

    PGTICK_API_KEYS=… PGTICK_GREEDY_KEY=… PGTICK_GREEDY_RATE=340 \
        locust -f loadtest/profiles/greedy.py --headless -H http://127.0.0.1:8080 -u 2 -t 60s
"""

from __future__ import annotations

import os
from typing import Any

from loadtest.profiles.arrivals import Arrivals, weighted
from loadtest.profiles.dashboard import PAGE
from loadtest.profiles.mixed import Mixed

KEY = os.environ["PGTICK_GREEDY_KEY"]

__all__ = ["Greedy", "Mixed"]


class Greedy(Arrivals):
    """It does not do what Retry-After says; that each refusal says it is what is looked at."""

    rate = float(os.environ["PGTICK_GREEDY_RATE"])

    def list_jobs(self) -> None:
        """The same list, again and again."""
        self.send("GET", PAGE, name="greedy", key=KEY)

    def fire(self, **report: Any) -> None:
        """Counts what was refused apart."""
        if report["response"] is not None and report["response"].status_code == 429:
            report["name"] = "greedy, refused"
        super().fire(**report)

    def fault(self, response: Any) -> Exception | None:
        """Returns what is wrong with an answer; a refusal that says when to come again is right."""
        if response.status_code != 429:
            return super().fault(response)
        wait = response.get("Retry-After") or ""
        return None if wait.isdecimal() else ValueError(f"429 with Retry-After: {wait!r}")

    kinds = weighted({list_jobs: 1})
