"""The cron tests only read, so that all of them share one database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.support.pooler import Pooler
from tests.support.server import Server


@pytest.fixture(scope="session")
def cron(server: Server, pooler: Pooler | None) -> Iterator[Connection[Any]]:
    """A superuser's connection to a migrated database, in autocommit."""
    name = server.clone_template()
    dsn = server.conninfo(name) if pooler is None else pooler.conninfo(name, user="postgres")
    with psycopg.connect(server.conninfo(name), autocommit=True) as conn:
        # What every caller in the schema has set; next_instant says what another one costs.
        conn.execute(f"alter database {name} set search_path = pg_catalog, pg_temp".encode())
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as conn:
        yield conn
    server.drop_database(name)
