"""Alive, ready, and how everything is: each service that fails shows, and nothing secret does."""

from __future__ import annotations

import threading
import time

import httpx
import msgspec
import pytest
from psycopg import Connection

from app.api import health
from app.api.config import ApiSettings
from migrations.files import SQL
from migrations.repeatable import checksum_of
from tests.conftest import Database
from tests.support.api import RunningApi
from tests.support.health import be_at_work, reasons, report
from tests.support.program import free_port, wait_until


@pytest.fixture
def anybody(api: RunningApi) -> httpx.Client:
    """A client without a key."""
    return api.client(None)


def test_live_and_ready(api: RunningApi, anybody: httpx.Client) -> None:
    """Who leaves is alive, but wants no more requests."""
    live = anybody.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "alive"})
    assert reasons(anybody) == []
    api.app.draining.set()
    assert reasons(anybody) == ["draining"]
    assert anybody.get("/health/live").status_code == 200
    wait_until(lambda: report(anybody).status == "down", "the report tells of it")
    assert report(anybody).draining


def test_the_schema_has_to_be_there(api_settings: ApiSettings, db: Connection) -> None:
    """And once it was, what comes later does not matter: it is newer."""
    db.execute("update scheduler_internal.repeatables set checksum = 'old' where path = 'sql/common/now.sql'")
    with RunningApi(api_settings) as api:
        client = api.client(None)
        assert reasons(client) == ["schema"]
        assert report(client).services.primary.schema == "old"
        assert any("pgtick migrate" in line["event"] for line in api.said)
        db.execute(
            "update scheduler_internal.repeatables set checksum = %s where path = 'sql/common/now.sql'",
            [checksum_of(SQL / "common" / "now.sql")],
        )
        wait_until(lambda: reasons(client) == [], "the schema is there")
        db.execute("update scheduler_internal.repeatables set checksum = 'new'")
        assert reasons(client) == []
        assert api.app.health.schema.state == "current"


@pytest.mark.parametrize(
    ("releases", "state"), [(["0.1.0"], "old"), (["0.0.9"], "old"), (["0.1.0", "0.10.0"], "newer")]
)
def test_a_newer_release_will_do(
    api_settings: ApiSettings, db: Connection, releases: list[str], state: str
) -> None:
    """As when the API is rolled back and the database is not."""
    db.execute("update scheduler_internal.repeatables set checksum = 'x'")
    for release, path in zip(releases, ("sql/%", "sql/common/%"), strict=False):
        db.execute(
            "update scheduler_internal.repeatables set release = %s where path like %s", [release, path]
        )
    with RunningApi(api_settings) as api:
        assert (reasons(api.client(None)) == []) == (state == "newer")
        assert api.app.health.schema.state == state


def test_a_database_without_it(api_settings: ApiSettings, db: Connection) -> None:
    """One that was never asked this before."""
    db.execute("drop function scheduler.schema_version(), scheduler.status_json()")
    with RunningApi(api_settings) as api:
        client = api.client(None)
        assert reasons(client) == ["schema"]
        found = report(client)
        assert (found.status, found.services.ticker.status) == ("down", "unknown")


def test_a_login_without_its_roles(database: Database, api_settings: ApiSettings) -> None:
    """No migration mends it, and no other key."""
    conninfo = database.dsn(user="pgtick_worker")
    settings = msgspec.structs.replace(api_settings, write_conninfo=conninfo, direct_conninfo=conninfo)
    with RunningApi(settings) as api:
        client = api.client(None)
        assert reasons(client) == ["schema"]
        assert report(client).services.primary.schema == "unknown"
        said = [line["event"] for line in api.said]
        assert any("grant scheduler_client and scheduler_reader to the login of DB_WRITE_" in x for x in said)
        assert not any("pgtick migrate" in event for event in said)
        answer = client.get("/v1/jobs", headers={"Authorization": "Bearer x"})
        assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")


def test_a_fault_of_ours_is_in_the_log(api: RunningApi, client: httpx.Client, db: Connection) -> None:
    """Under the id that the answer tells, also where it shows before the caller is known."""
    db.execute("drop function scheduler.check_api_key")
    answer = client.get("/v1/jobs")
    assert answer.status_code == 500
    request_id = answer.headers["x-request-id"]
    lines = [str(line) for line in api.said if line.get("request_id") == request_id]
    assert any("scheduler.check_api_key" in line and "UndefinedFunction" in line for line in lines)


def test_no_primary(api_settings: ApiSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while it may be away; then others had better be asked."""
    nowhere = f"host=127.0.0.1 port={free_port()} dbname=x user=x password=s3cret"
    settings = msgspec.structs.replace(api_settings, write_conninfo=nowhere, direct_conninfo=nowhere)
    with RunningApi(settings) as api:
        client = api.client(None)
        assert "primary" not in reasons(client)
        monkeypatch.setattr(health, "PRIMARY_SECONDS", 0.5)
        wait_until(lambda: reasons(client) == ["primary"], "it is noticed")
        found = client.get("/health")
        assert found.status_code == 503
        assert found.json()["services"]["primary"]["status"] == "down"
        assert client.get("/health/live").status_code == 200
        refused = client.get("/v1/jobs", headers={"Authorization": "Bearer x"})
        assert (refused.status_code, "takes no new connections" in refused.json()["detail"]) == (503, True)
        assert "s3cret" not in found.text
        assert "127.0.0.1" not in found.text


def test_a_busy_primary_is_there(api: RunningApi, anybody: httpx.Client, db: Connection) -> None:
    """What counts is when it last answered anybody, not whether the watch got a connection."""
    source = api.app.database.primary
    wait_until(lambda: source.status == "up", "the watch has looked")

    def is_silent() -> bool:
        source._answered_at -= 60
        return reasons(anybody) == ["primary"]

    wait_until(is_silent, "the watch did not ask in between")
    assert api.client().get("/v1/jobs/by-name/x").status_code in (404, 405)
    wait_until(lambda: reasons(anybody) == [], "it answered")


def test_the_report(api: RunningApi, anybody: httpx.Client, db: Connection) -> None:
    """Nobody ticks, nobody works; then somebody does."""
    assert report(anybody).status == "degraded"
    be_at_work(db)
    wait_until(lambda: report(anybody).status == "ok", "ticker and worker are seen")
    found = report(anybody)
    assert found.node_id == "test"
    assert found.uptime_seconds > 0
    assert found.memory_bytes > 10_000_000
    assert found.cpu_percent >= 0
    assert set(found.connections.pools) == {"primary"}
    assert found.connections.pools["primary"].open >= 1
    services = found.services
    assert services.primary.latency_ms is not None
    assert services.primary.schema == "current"
    assert (services.replicas, services.redis.status, services.pgbouncer.status) == ([], "off", "off")
    assert (services.ticker.status, services.ticker.late_seconds) == ("up", 0)
    assert (services.workers.active, services.workers.silent) == (1, 0)


def test_a_late_fire(api: RunningApi, anybody: httpx.Client, db: Connection) -> None:
    """A ticker that comes by and does not tick is not up either."""
    be_at_work(db)
    db.execute(
        """
        select scheduler.create_job('late', 'sql', '"select 1"', '* * * * *');
        update scheduler_internal.schedules set next_fire_at = now() - interval '31 seconds';
        """
    )
    wait_until(lambda: report(anybody).services.ticker.status == "down", "it is noticed")
    assert report(anybody).services.ticker.late_seconds or 0 >= 31


def test_at_most_once_a_second(api: RunningApi, db: Connection, anybody: httpx.Client) -> None:
    """However many ask at once."""
    calls: list[float] = []
    run = api.app.health._ask_database
    once = api.app.health._report

    async def counted() -> object:
        calls.append(0)
        return await run()

    api.app.health._ask_database = counted  # type: ignore[method-assign,assignment]
    once._began_at -= 10
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(base_url=api.url) as client:
            answers.extend(client.get("/health") for _ in range(5))

    began_at = time.monotonic()
    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = {answer.json()["time"] for answer in answers}
    assert len(answers) == 40
    assert len(times) == len(calls) <= 2 + time.monotonic() - began_at
