"""Schemathesis, which knows nothing of us but the document, sends what that allows and what it forbids.

Its histories are no use here: what they draw hangs on what was answered, which Hypothesis takes for a fault.
Ours are in test_fuzz.py.
"""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from app.api.openapi import make_document
from tests.support.api import RunningApi, unused_api

CASES = 8
# A stream does not end.
STREAM = "/v1/events"

SCHEMA = schemathesis.openapi.from_file(make_document(unused_api().litestar).decode())
FOUND: list[Any] = [each.ok() for each in SCHEMA.get_all_operations()]  # type: ignore[union-attr]
OPERATIONS = [operation for operation in FOUND if operation.path != STREAM]

pytestmark = [
    pytest.mark.slow,
    # Its threads are the API's, which has its own use for chance while requests are drawn here.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_its_checks_hold(api: RunningApi, operation: Any) -> None:
    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def holds(case: Case[Any]) -> None:
        headers = {"Authorization": f"Bearer {api.keys['admin']}"}
        # A schema cannot say what a cron expression or a cursor is.
        case.call_and_validate(base_url=api.url, headers=headers, excluded_checks=[positive_data_acceptance])

    holds()
