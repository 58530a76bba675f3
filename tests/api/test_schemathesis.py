"""Somebody else's reading of the OpenAPI document holds: that of schemathesis, with the checks it has.

Its own engine runs, as a process of its own, as it does for whoever points it at our API.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.api.fuzz.cases import ALONG_LINKS, AT_BOUNDS
from tests.support.api import RunningApi

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "api" / "fuzz" / "schemathesis.toml"
SECONDS = 1_800
STEPS = 10
SCENARIOS = 1_000
"""In one run, which keeps all of them in memory."""

pytestmark = pytest.mark.slow


def run(api: RunningApi, folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Runs schemathesis and returns its report, and what it says; fails where it finds anything."""
    report = folder / "report.json"
    report.unlink(missing_ok=True)
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "--no-color", "run"),
            f"{api.url}/schema/openapi.json",
            *("--header", f"Authorization: Bearer {api.keys['admin']}"),
            *("--report", "json", "--report-json-path", str(report)),
            *options,
        ],
        cwd=folder,  # where it keeps what it has found
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, f"{ended.stdout[:20_000]}{ended.stderr[-2_000:]}"
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["complete"], found["stop_reason"]
    assert found["failures"] == found["errors"] == []
    return found, ended.stdout


def test_the_bounds_of_every_schema_hold(api: RunningApi, tmp_path: Path) -> None:
    found, _ = run(api, tmp_path, "--phases", "examples,coverage")

    operations, rates = found["operations"], found["valid_rates"]
    assert operations["tested"] == operations["selected"] == operations["total"] - 1
    assert found["test_cases"]["generated"] >= AT_BOUNDS
    for name in ("POST /v1/jobs", "POST /v1/executions", "PATCH /v1/jobs/{job_id}"):
        made = rates[name]["coverage"]
        assert made["accepted"] > made["rejected"], f"{name} is refused at the door: {made}"


def test_what_the_links_lead_to_holds(api: RunningApi, tmp_path: Path) -> None:
    sent = followed = linked = 0
    for seed in count(1):
        scenarios = min(SCENARIOS, 20 + (ALONG_LINKS - sent) // STEPS)
        options = ("--phases", "stateful", "--seed", str(seed), "--max-examples", str(scenarios))
        found, said = run(api, tmp_path, *options)
        links = re.search(r"API Links:\s+(\d+) covered / (\d+) selected", said)
        assert links is not None, said
        followed, linked = max(followed, int(links[1])), int(links[2])
        sent += found["test_cases"]["generated"]
        if sent >= ALONG_LINKS:
            break
    print(f"{sent} requests, {followed} of {linked} links followed")
    assert followed > linked / 2, "too little is accepted to go on from: tests/api/fuzz/sensible.py"
