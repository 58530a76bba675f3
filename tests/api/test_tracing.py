"""One trace from the request over the row and the worker to the webhook; and its ids in the logs."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection

from tests.conftest import Database
from tests.support.api import RunningApi
from tests.support.cli import PGTICK, ROOT, environment
from tests.support.otlp import Collector, Span
from tests.support.program import Program, accepts, free_port, wait_until

NO_EXTRA = "no traces: OpenTelemetry is not installed; pip install 'pgtick[otel]'"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"


class Webhooks:
    """A server that HTTP jobs call: notes the headers, and answers with the status in the path."""

    def __init__(self) -> None:
        self.traceparents: list[str | None] = []
        webhooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                webhooks.traceparents.append(self.headers.get("traceparent"))
                self.send_response(int(self.path[1:]))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def url(self, status: int) -> str:
        """Returns what is answered with that status."""
        return f"http://127.0.0.1:{self._server.server_port}/{status}"

    def close(self) -> None:
        """Stops it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhooks() -> Iterator[Webhooks]:
    """It runs."""
    webhooks = Webhooks()
    yield webhooks
    webhooks.close()


@pytest.fixture
def collector() -> Iterator[Collector]:
    """It listens."""
    with Collector() as collector:
        yield collector


class System:
    """An API and a worker, processes of their own."""

    def __init__(self, database: Database, folder: Path, key: str, environ: Mapping[str, str]) -> None:
        port = free_port()
        base = environment(PGTICK_LOG_FORMAT="json", NODE_ID="here", **environ)
        self.api = Program(
            [*PGTICK, "api"],
            log=folder / "api.log",
            environ=base
            | {
                "DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_api"),
                "PGTICK_API_PORT": str(port),
            },
        )
        self.worker = Program(
            [sys.executable, "-m", "workers", "worker"],
            log=folder / "worker.log",
            environ=base
            | {
                "DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_worker"),
                "PGTICK_SQL_CONNECTION_STRING": database.dsn(user="pgtick_sql"),
                "PGTICK_HTTP_ALLOW": "127.0.0.1",
            },
        )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        self.api.wait_for(lambda: accepts(port))

    def ended(self, execution_id: str) -> dict[str, Any]:
        """Returns an execution once it has ended."""

        def found() -> dict[str, Any]:
            answer: dict[str, Any] = self.client.get(f"/v1/executions/{execution_id}").json()
            return answer

        wait_until(lambda: found()["status"] in ("succeeded", "failed"), "it has ended")
        return found()

    def log(self, program: Program, event: str) -> list[dict[str, Any]]:
        """Returns the lines of a log with this event; each line of it is JSON."""
        lines = [json.loads(line) for line in program.said.splitlines()]
        return [line for line in lines if line["event"] == event]

    def stop(self) -> None:
        """Stops both in order, so that the last spans are sent."""
        self.client.close()
        assert self.api.stop() == 0
        assert self.worker.stop() == 0


@pytest.fixture
def system(
    database: Database, tmp_path: Path, keys: dict[str, str], collector: Collector
) -> Iterator[System]:
    """With traces."""
    system = System(database, tmp_path, keys["admin"], collector.environ)
    yield system
    system.api.stop()
    system.worker.stop()


def only(spans: list[Span]) -> Span:
    """Returns the only one."""
    (span,) = spans
    return span


@pytest.mark.slow
def test_one_trace(system: System, collector: Collector, webhooks: Webhooks, db: Connection) -> None:
    """request -> call into the database; request -> row -> attempt -> webhook, and its second attempt."""
    answer = system.client.post(
        "/v1/executions",
        json={
            "job_type": "http",
            "target": {"url": webhooks.url(500)},
            "max_attempts": 2,
            "backoff_base": "0 seconds",
        },
        headers={"traceparent": TRACEPARENT, "X-Request-ID": "request-1"},
    )
    assert answer.status_code == 201, answer.text
    ended = system.ended(answer.json()["execution_id"])
    system.stop()

    request = only(collector.named("POST /v1/executions"))
    assert (request.trace_id, request.parent_id, request.kind) == (TRACE, CALLER, "SERVER")
    assert request.attributes["http.route"] == "/v1/executions"
    assert request.attributes["http.response.status_code"] == 201
    assert request.attributes["pgtick.request_id"] == "request-1"
    assert request.resource["service.name"] == "pgtick-api"
    assert request.resource["service.instance.id"] == "here"

    call = only(collector.named("scheduler.enqueue"))
    assert (call.trace_id, call.parent_id, call.kind) == (TRACE, request.span_id, "CLIENT")
    assert request.began_ns <= call.began_ns <= call.ended_ns <= request.ended_ns

    assert ended["traceparent"] == request.traceparent
    attempts = collector.named("execute http")
    assert [(each.trace_id, each.parent_id) for each in attempts] == 2 * [(TRACE, request.span_id)]
    assert [each.attributes["pgtick.attempt"] for each in attempts] == [1, 2]
    assert {each.attributes["pgtick.execution_id"] for each in attempts} == {ended["execution_id"]}
    assert {each.attributes["pgtick.outcome"] for each in attempts} == {"failed"}
    assert {(each.is_error, each.message) for each in attempts} == {(True, "HTTP status 500")}
    assert attempts[0].resource["service.name"] == "pgtick-worker"
    assert webhooks.traceparents == [each.traceparent for each in attempts]

    line = system.log(system.api, "request")[0]
    assert (line["request_id"], line["trace_id"]) == ("request-1", TRACE)
    assert line["span_id"] == request.span_id
    lines = system.log(system.worker, "execution ended")
    assert [each["span_id"] for each in lines] == [each.span_id for each in attempts]
    assert {(each["trace_id"], each["execution_id"]) for each in lines} == {(TRACE, ended["execution_id"])}


@pytest.mark.slow
def test_what_begins_and_goes_on(
    system: System, collector: Collector, webhooks: Webhooks, db: Connection
) -> None:
    """Without a caller's trace a request begins one, and so does an attempt at what came without one.

    A trigger, a batch, and what a SQL job enqueues go on with it. Health checks leave none.
    """
    # In this database alone: a membership would be the whole server's, and the next tests' too.
    db.execute("grant usage on schema scheduler to scheduler_sql")
    db.execute("grant execute on function scheduler.enqueue to scheduler_sql")
    inner = json.dumps({"url": webhooks.url(200)})
    statement = f"select scheduler.enqueue('http', '{inner}')"
    job = {"name": "outer", "job_type": "sql", "target": {"statement": statement}}
    created = system.client.post("/v1/jobs", json=job)
    assert created.status_code == 201, created.text
    triggered = system.client.post(f"/v1/jobs/{created.json()['job_id']}/trigger", json={})
    system.ended(triggered.json()["execution_id"])
    wait_until(lambda: len(webhooks.traceparents) == 1, "what it enqueued was called")
    item = {"job_type": "http", "target": {"url": webhooks.url(204)}}
    bulk = system.client.post("/v1/executions/bulk", json={"items": [item, item]})
    for execution_id in bulk.json()["execution_ids"]:
        system.ended(execution_id)
    for path in ("/health", "/health/live", "/metrics"):
        system.client.get(path)
    fired = db.execute("select scheduler.enqueue('http', %s::jsonb)", [inner]).fetchone()
    assert fired is not None
    system.ended(str(fired[0]))
    system.stop()

    trigger = only(collector.named("POST /v1/jobs/{job_id}/trigger"))
    assert trigger.parent_id == ""
    outer = only(collector.named("execute sql"))
    assert (outer.trace_id, outer.parent_id) == (trigger.trace_id, trigger.span_id)
    assert (outer.attributes["pgtick.job"], outer.is_error) == ("outer", False)
    within, first, second, own = collector.named("execute http")
    assert (within.trace_id, within.parent_id) == (trigger.trace_id, outer.span_id)
    batch = only(collector.named("POST /v1/executions/bulk"))
    assert {first.parent_id, second.parent_id} == {batch.span_id}
    assert own.parent_id == ""
    assert len({trigger.trace_id, batch.trace_id, own.trace_id}) == 3
    assert not [span for span in collector.spans if "/health" in span.name or "/metrics" in span.name]


@pytest.mark.slow
def test_without_the_extra(
    database: Database, tmp_path: Path, keys: dict[str, str], webhooks: Webhooks, collector: Collector
) -> None:
    """A traceparent goes all the way as it came; that there are no traces is said."""
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").write_text("raise ImportError('not installed')\n")
    environ = collector.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    system = System(database, tmp_path, keys["admin"], environ)
    try:
        answer = system.client.post(
            "/v1/executions",
            json={"job_type": "http", "target": {"url": webhooks.url(200)}},
            headers={"traceparent": TRACEPARENT},
        )
        ended = system.ended(answer.json()["execution_id"])
        assert ended["traceparent"] == TRACEPARENT
        assert webhooks.traceparents == [TRACEPARENT]
        system.stop()
        for program in (system.api, system.worker):
            assert system.log(
                program, "no traces: OpenTelemetry is not installed; pip install 'pgtick[otel]'"
            )
        assert system.log(system.worker, "execution ended")[0]["trace_id"] == TRACE
        assert collector.spans == []
    finally:
        system.api.stop()
        system.worker.stop()


def test_a_dead_collector_holds_nobody_up(database: Database, tmp_path: Path, keys: dict[str, str]) -> None:
    """Requests are answered, and the process leaves in time."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}"}
    system = System(database, tmp_path, keys["admin"], environ)
    try:
        assert system.client.get("/v1/jobs").status_code == 200
        system.stop()
        assert "Traceback" not in system.api.said
    finally:
        system.api.stop()
        system.worker.stop()


@pytest.mark.parametrize("module", ["app.api.main", "workers.worker"])
def test_nobody_pays_for_it(module: str) -> None:
    """What makes spans is imported only where they are to be sent. (redis-py imports what counts.)"""
    parts = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.proto")
    code = f"import {module}, sys; print([m for m in sys.modules if m.startswith({parts})])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_malformed_traceparent(client: httpx.Client, api: RunningApi, db: Connection) -> None:
    """Counts as none."""
    for traceparent in ("x", TRACEPARENT.upper(), f"00-{'0' * 32}-{CALLER}-01", TRACEPARENT + "-x"):
        answer = client.post(
            "/v1/executions",
            json={"job_type": "http", "target": {"url": "https://example.org"}},
            headers={"traceparent": traceparent},
        )
        assert answer.status_code == 201, answer.text
    assert db.execute("select distinct traceparent from scheduler.executions").fetchall() == [(None,)]


def test_the_request_id(client: httpx.Client, api: RunningApi, db: Connection) -> None:
    """Comes back, and is on the rows that the request made; a malformed or missing one is replaced."""
    job = {"name": "a", "job_type": "http", "target": {"url": "https://example.org"}}
    created = client.post("/v1/jobs", json=job, headers={"X-Request-ID": "my-id/1"})
    assert created.headers["x-request-id"] == "my-id/1"
    made = []
    for headers in ({}, {"X-Request-ID": "a b"}, {"X-Request-ID": "x" * 129}, {"X-Request-ID": ""}):
        path = f"/v1/jobs/{created.json()['job_id']}/trigger"
        answer = client.post(path, json={}, headers=headers)
        assert answer.status_code == 201, answer.text
        made.append(answer.headers["x-request-id"])
    assert len(set(made)) == 4
    assert {len(each) for each in made} == {36}
    noted = db.execute(
        "select action, request_id, api_key from scheduler.audit_log where action like '%job' order by at"
    ).fetchall()
    assert noted == [("create_job", "my-id/1", "admin"), *(("trigger_job", each, "admin") for each in made)]
    refused = client.post("/v1/jobs", json=job, headers={"X-Request-ID": "my-id/2"})
    assert refused.status_code == 409
    assert refused.json()["instance"].endswith("my-id/2")
    assert api.client(None).get("/v1/jobs", headers={"X-Request-ID": "z"}).headers["x-request-id"] == "z"
    (line,) = [
        line for line in api.said if line.get("request_id") == "my-id/1" and line["event"] == "request"
    ]
    assert (line["method"], line["status"]) == ("POST", 201)
    assert "trace_id" not in line
