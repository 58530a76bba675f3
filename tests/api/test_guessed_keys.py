"""Who guesses keys is held to a limit; who has one is not taken for him, though one address is both's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from psycopg import Connection

from app.api.config import ApiSettings
from app.api.limit_rules import Class, Limit, Limits
from tests.support.api import RunningApi

BURST = 5
WIDE = Limit(100_000, 100_000)


@pytest.fixture
def api_settings(api_settings: ApiSettings) -> ApiSettings:
    """Hardly any guesses."""
    seldom = Limit(0.01, BURST)
    classes: dict[Class, Limit] = {"read": WIDE, "write": WIDE, "bulk": WIDE, "auth": seldom}
    return msgspec.structs.replace(api_settings, limits=Limits(WIDE, WIDE, classes))


def status_of(api: RunningApi, secret: str) -> int:
    """Returns what a request with this key gets."""
    client = api.client(None, headers={"Authorization": f"Bearer {secret}"})
    return client.get("/v1/jobs").status_code


def test_new_keys_are_no_guesses(api: RunningApi, db: Connection[Any]) -> None:
    secrets = [
        row[0]
        for row in db.execute(
            "select k.api_key from generate_series(1, 30) i,"
            " scheduler.create_api_key(name => 'key ' || i, scopes => '{read}') k"
        )
    ]
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda secret: status_of(api, secret), 2 * secrets)) == {200}


def test_guesses_are_limited(api: RunningApi) -> None:
    known = api.client("read")
    assert known.get("/v1/jobs").status_code == 200

    guesses = [status_of(api, f"guess-{number}") for number in range(3 * BURST)]
    assert guesses == BURST * [401] + 2 * BURST * [429]
    assert known.get("/v1/jobs").status_code == 200
    assert api.app.ring is not None
    api.app.ring.forget()
    assert known.get("/v1/jobs").status_code == 200
    # Not even a right one is looked up for somebody who has guessed too often.
    refused = api.client("admin").get("/v1/jobs")
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 1
    assert refused.headers["RateLimit"].startswith('"auth";r=0;t=')
    assert f'"auth";q={BURST};' in refused.headers["RateLimit-Policy"]


def test_guesses_at_once_are_limited(api: RunningApi) -> None:
    with ThreadPoolExecutor(20) as pool:
        guesses = list(pool.map(lambda number: status_of(api, f"guess-{number}"), range(60)))
    assert guesses.count(401) == BURST
    assert guesses.count(429) == 60 - BURST
