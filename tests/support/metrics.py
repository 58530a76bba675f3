"""The metrics as Prometheus reads them."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Metrics = dict[str, dict[Labels, float]]


def parse(text: str) -> Metrics:
    """Returns each series by its name and its labels; one that is there twice is an error."""
    found: Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            series = found.setdefault(sample.name, {})
            assert labels not in series, f"twice: {sample.name} {labels}"
            series[labels] = sample.value
    return found


def scrape(client: httpx.Client) -> Metrics:
    """Returns what /metrics says."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return parse(answer.text)
