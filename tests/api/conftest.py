"""The API, running against the test's database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from psycopg import Connection

from app.api.config import ApiSettings
from app.api.context import SCOPES
from tests.conftest import Database
from tests.support.api import RunningApi

API_USER = "pgtick_api"
MAKE_KEYS = """
    select s.scope, k.api_key
    from unnest(%s::text[]) as s (scope),
         scheduler.create_api_key(name => s.scope, scopes => array[s.scope]) k
"""


@pytest.fixture
def keys(db: Connection[Any]) -> dict[str, str]:
    """The secret of an API key for each scope; the key bears the scope's name."""
    return dict(db.execute(MAKE_KEYS, [list(SCOPES)]).fetchall())


@pytest.fixture
def api_settings(database: Database) -> ApiSettings:
    """The settings of the API; override it for others."""
    return ApiSettings(
        write_conninfo=database.dsn(user=API_USER),
        direct_conninfo=database.dsn(user=API_USER, direct=True),
        node_id="test",
        port=0,
        pool_size=4,
    )


@pytest.fixture
def api(api_settings: ApiSettings, keys: dict[str, str]) -> Iterator[RunningApi]:
    """The API, with keys."""
    with RunningApi(api_settings, keys=keys) as running:
        yield running


@pytest.fixture
def client(api: RunningApi) -> httpx.Client:
    """A client whose key may do everything."""
    return api.client()
