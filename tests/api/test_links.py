"""Schemathesis, which knows nothing of us but the document, follows its links from answer to request."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.support.api import RunningApi

HISTORIES = 20
STEPS = 12
# A stream does not end.
STREAM = "/v1/events"

pytestmark = [
    pytest.mark.slow,
    # Its threads are the API's, which has its own use for chance while requests are drawn here.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]


def test_the_links_of_the_document_hold(api: RunningApi) -> None:
    document = api.client().get("/schema/openapi.json").json()
    del document["paths"][STREAM]
    schema = schemathesis.openapi.from_dict(document)
    schema.config.base_url = api.url

    class Links(schema.as_state_machine()):  # type: ignore[misc]
        def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:  # noqa: ARG002
            return {"headers": {"Authorization": f"Bearer {api.keys['admin']}"}}

        def validate_response(self, response: Any, case: Case[Any], **kwargs: Any) -> None:
            # A schema cannot say what a cron expression or a cursor is.
            case.validate_response(response, excluded_checks=[positive_data_acceptance], **kwargs)

    Links.run(
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
