"""Whatever is sent, in whatever order: never a 5xx, and nothing that the OpenAPI document does not say."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.api.fuzz.cases import IN_HISTORIES
from tests.api.fuzz.choices import Choices
from tests.api.fuzz.history import History, Wire
from tests.api.fuzz.oracle import Oracle
from tests.support.api import RunningApi

REQUESTS = 40
BYTES = (600, 1_400)

pytestmark = [
    pytest.mark.slow,
    # Its threads are the API's, which has its own use for chance while requests are drawn here.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]


def test_no_history_breaks_it(api: RunningApi, request: pytest.FixtureRequest) -> None:
    document = api.client().get("/schema/openapi.json").json()
    oracle = Oracle(document)
    wire = Wire(api.port, api.keys)
    numbers = count()
    request.addfinalizer(wire.close)

    @settings(
        max_examples=-(-IN_HISTORIES // REQUESTS),
        deadline=None,
        database=None,
        phases=[
            Phase.generate
        ],  # to shrink a history takes minutes: add Phase.shrink when there is one to shrink
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.binary(min_size=BYTES[0], max_size=BYTES[1]))
    def lives(data: bytes) -> None:
        choices = Choices(data)
        history = History(next(numbers), document, wire, oracle)
        for _ in range(REQUESTS):
            history.step(choices)
        history.end(page=1 + choices.below(5))

    lives()
    sent = oracle.counts.total()
    accepted = sum(times for (_, status), times in oracle.counts.items() if status < 300)
    print(f"{sent} requests, {accepted} accepted", *sorted(oracle.counts.items()), sep="\n")
    assert sent >= IN_HISTORIES
    assert accepted > sent / 4, "most were refused: what is drawn is too odd to get far"
