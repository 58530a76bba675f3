"""The health checks as whoever asks sees them."""

from __future__ import annotations

from uuid import uuid4

import httpx
import msgspec
from psycopg import Connection

from app.api.health_report import Report


def be_at_work(db: Connection) -> None:
    """Comes by as a ticker, and as a worker whose lease lasts for an hour."""
    db.execute("select scheduler.reap()")
    db.execute("select scheduler.heartbeat(%s, 'node', lease => interval '1 hour')", [uuid4()])


def report(client: httpx.Client) -> Report:
    """Returns the report; it is public, and its status is that of the answer."""
    answer = client.get("/health")
    found = msgspec.json.decode(answer.content, type=Report)
    assert answer.status_code == (503 if found.status == "down" else 200)
    assert answer.headers["cache-control"] == "no-store"
    return found


def reasons(client: httpx.Client) -> list[str]:
    """Returns why it is not ready."""
    answer = client.get("/health/ready")
    found: list[str] = answer.json()["reasons"]
    assert answer.status_code == (503 if found else 200)
    assert answer.json()["status"] == ("unready" if found else "ready")
    return found
