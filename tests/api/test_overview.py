"""What has been going on, as the API tells it: fires, backfills, previews, statistics, queues and workers.

The database's clock stands at 2031-03-05 12:00 UTC for the API too.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from psycopg import Connection

from tests.sql.engine import Engine
from tests.support.clock import Clock

NOON = "2031-03-05T12:00:00+00:00"
HOURLY: dict[str, Any] = {
    "name": "hourly",
    "job_type": "python",
    "target": "a.handler",
    "schedule": "0 * * * *",
    "misfire": "fire_all",
    "overlap": "allow",
}


@pytest.fixture
def engine(db: Connection[Any], clock: Clock) -> Engine:
    """What the API does not do: it fires, and works."""
    engine = Engine(db, clock)
    clock.set(NOON, everywhere=True)
    return engine


@pytest.fixture
def client(engine: Engine, client: httpx.Client) -> httpx.Client:
    """A client of an API whose time stands still."""
    return client


@pytest.fixture
def keys(engine: Engine, keys: dict[str, str]) -> dict[str, str]:
    """Made when the clock stood still."""
    return keys


def make(client: httpx.Client, **more: Any) -> str:
    """Makes the hourly job and returns its path."""
    answer = client.post("/v1/jobs", json=HOURLY | more)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def items(answer: httpx.Response) -> list[Any]:
    """Returns the items of a list."""
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["items"]
    return found


def tick_at(engine: Engine, time: str) -> None:
    """Fires what is due at a time."""
    engine.clock.set(time, everywhere=True)
    engine.clock.set(time)
    engine.db.execute("select scheduler.tick()")


def test_the_ledger(client: httpx.Client, engine: Engine) -> None:
    path = make(client)
    tick_at(engine, "2031-03-05T15:30:00+00:00")

    fires = items(client.get(f"{path}/fires"))
    assert [(fire["fire_at"][11:16], fire["verdict"]) for fire in fires] == [
        ("15:00", "fired"),
        ("14:00", "fired"),
        ("13:00", "fired"),
    ]
    executions = items(client.get(f"{path}/executions"))
    assert {fire["execution_id"] for fire in fires} == {each["execution_id"] for each in executions}

    between = {"from_time": "2031-03-05T14:00:00Z", "to_time": "2031-03-05T15:00:00Z"}
    assert [fire["fire_at"][11:16] for fire in items(client.get(f"{path}/fires", params=between))] == [
        "14:00"
    ]
    first = client.get(f"{path}/fires", params={"limit": 2}).json()
    rest = client.get(f"{path}/fires", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [*first["items"], *rest["items"]] == fires
    assert rest["next_cursor"] is None


def test_a_backfill_makes_what_is_missing_once(client: httpx.Client, engine: Engine) -> None:
    path = make(client)
    stretch = {"from_time": "2031-03-05T08:00:00Z", "to_time": "2031-03-05T11:00:00Z"}

    made = client.post(f"{path}/backfill", json=stretch)
    assert (made.status_code, made.json()) == (201, {"executions": 4})
    assert client.post(f"{path}/backfill", json=stretch).json() == {"executions": 0}
    found = items(client.get(f"{path}/executions"))
    assert {each["fire_at"][11:16] for each in found} == {"08:00", "09:00", "10:00", "11:00"}
    assert {each["origin"] for each in found} == {"backfill"}

    backwards = {"from_time": stretch["to_time"], "to_time": stretch["from_time"]}
    refused = client.post(f"{path}/backfill", json=backwards)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] in ("body.from_time", "body.to_time")
    assert refused.json()["hint"]


def test_previews(client: httpx.Client) -> None:
    path = make(client, timezone="Europe/Berlin", schedule="30 2 * * *")
    of_job = client.get(f"{path}/preview", params={"n": 2}).json()
    assert of_job["fires"] == ["2031-03-06T01:30:00+00:00", "2031-03-07T01:30:00+00:00"]
    assert "02:30" in of_job["description"]

    asked = {"schedule": "30 2 * * *", "timezone": "Europe/Berlin", "n": 2}
    assert client.post("/v1/schedules/preview", json=asked).json() == of_job
    later = client.post("/v1/schedules/preview", json=asked | {"after": "2031-06-01T00:00:00Z"}).json()
    assert later["fires"][0] == "2031-06-01T00:30:00+00:00"

    never = client.post("/v1/schedules/preview", json={"schedule": "0 0 30 2 *"})
    assert never.status_code == 422
    assert never.json()["errors"][0]["field"] == "body.schedule"


def test_a_trigger_brings_its_own_payload(client: httpx.Client) -> None:
    path = make(client, payload={"kind": "hourly"})
    made = client.post(f"{path}/trigger", json={"payload": [1], "run_at": "2031-03-05T13:15:00Z"})
    assert made.status_code == 201
    shown = client.get(made.headers["location"]).json()
    assert shown["payload"] == [1]
    assert shown["status"] == "scheduled"
    assert shown["run_at"] == "2031-03-05T13:15:00+00:00"
    assert client.get(client.post(f"{path}/trigger").headers["location"]).json()["payload"] == {
        "kind": "hourly"
    }


def test_what_was_done_is_found_and_counted(client: httpx.Client, engine: Engine) -> None:
    """One that succeeded, one that failed with a text, one that waits."""
    one = {"job_type": "python", "target": "a.handler", "max_attempts": 1}
    for queue in ("mail", "reports", "mail"):
        assert client.post("/v1/executions", json=one | {"queue": queue}).status_code == 201
    worker = engine.worker(node_id="n1", concurrency=4, job_types=["python"])
    good = worker.claim_one(queues=["reports"])
    bad, *_ = worker.claim(1, queues=["mail"])
    engine.clock.advance(seconds=30, everywhere=True)
    engine.clock.set(engine.clock.now)
    assert worker.finish(good, result={"rows": 3}) == []
    assert worker.fail(bad, error={"message": "connection Refused by 100%_of them"}) == []
    worker.beat(node_id="n1", concurrency=4, job_types=["python"])

    def found(**query: str) -> set[tuple[str, str]]:
        return {(each["queue"], each["status"]) for each in items(client.get("/v1/executions", params=query))}

    assert found(status="failed") == {("mail", "failed")}
    assert found(queue="reports") == {("reports", "succeeded")}
    assert found(error_contains="refused by 100%_") == {("mail", "failed")}
    assert found(error_contains="refused by 100xx") == set()
    assert found(status="ready", job_type="python") == {("mail", "ready")}
    assert found(job_type="http") == set()
    shown = client.get(f"/v1/executions/{good['execution_id']}").json()
    assert (shown["result"], shown["attempt"]) == ({"rows": 3}, 1)

    queues = {queue["queue"]: queue for queue in items(client.get("/v1/queues"))}
    assert queues["mail"]["ready"] == 1
    (shown_worker,) = items(client.get("/v1/workers"))
    assert (shown_worker["node_id"], shown_worker["concurrency"]) == ("n1", 4)
    assert (shown_worker["status"], shown_worker["running"]) == ("active", 0)

    hour = {"from_time": NOON, "to_time": "2031-03-05T13:00:00Z"}
    ended = client.get("/v1/stats", params=hour).json()["items"]
    assert {(step["queue"], step["succeeded"], step["failed"]) for step in ended} == {
        ("reports", 1, 0),
        ("mail", 0, 1),
    }
    assert {step["run_seconds"] for step in ended} == {30.0}
    only = client.get("/v1/stats", params=hour | {"queue": "mail", "step": "1 hour"}).json()
    assert [(step["at"], step["failed"]) for step in only["items"]] == [(NOON, 1)]
