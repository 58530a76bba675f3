"""nginx as we ship it: what it passes on, what it tries again, and what it says itself."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.conftest import StartNginx
from tests.support.api_process import ApiProcess
from tests.support.nginx import Nginx
from tests.support.program import free_port, wait_until
from tests.support.topology import Topology

MEGABYTE = 1_000_000


class Upstream(ThreadingHTTPServer):
    """An HTTP server that tells what it was asked, breaks off, or streams, as the test wants it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.breaks_off = False
        self.waits = False
        self.says_unavailable = False
        self.may_go_on = threading.Event()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Upstream

    def answer(self) -> None:
        """Answers with what was asked, in JSON."""
        self.server.asked.append(self.command)
        size = len(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if self.server.breaks_off:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        if self.server.waits:
            self.server.may_go_on.wait(30)
        if self.path == "/v1/events":
            self.stream()
            return
        body = json.dumps({"path": self.path, "size": size, "headers": dict(self.headers)}).encode()
        self.send_response(503 if self.server.says_unavailable else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815

    def stream(self) -> None:
        """Sends an event, and another when the test has seen the first."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.server.may_go_on.wait(30)
        self.wfile.write(b"data: second\n\n")
        self.close_connection = True

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def make_upstream() -> Iterator[Callable[[], Upstream]]:
    """A function that starts a server behind nginx."""
    started: list[Upstream] = []

    def make() -> Upstream:
        started.append(Upstream())
        threading.Thread(target=started[-1].serve_forever, kwargs={"poll_interval": 0.02}).start()
        return started[-1]

    yield make
    for upstream in started:
        upstream.shutdown()
        upstream.server_close()


@pytest.fixture
def upstream(make_upstream: Callable[[], Upstream]) -> Upstream:
    """One server behind nginx."""
    return make_upstream()


@pytest.fixture
def nginx(upstream: Upstream, start_nginx: StartNginx) -> Nginx:
    """nginx before one server."""
    return start_nginx(upstream.port)


def entries(nginx: Nginx, count: int) -> list[dict[str, Any]]:
    """Returns the entries of the access log, which come a moment after the answer."""
    wait_until(lambda: len(nginx.entries()) >= count, f"{count} entries in the access log")
    return nginx.entries()


def problem(answer: httpx.Response) -> dict[str, Any]:
    """Returns what nginx says itself, having checked its form."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert body["instance"] == f"urn:request:{answer.headers['X-Request-ID']}"
    return body


def test_the_id_of_a_request_is_passed_on_and_logged(nginx: Nginx, upstream: Upstream) -> None:
    given = {"X-Request-ID": "mine-1", "traceparent": "00-1-2-01", "X-Forwarded-For": "6.6.6.6"}
    seen = httpx.get(f"{nginx.url}/v1/jobs?tag=a%20b", headers=given).json()
    assert seen["path"] == "/v1/jobs?tag=a%20b"
    headers = seen["headers"]
    assert (headers["X-Request-ID"], headers["traceparent"]) == ("mine-1", "00-1-2-01")
    assert (headers["X-Forwarded-For"], headers["X-Forwarded-Proto"]) == ("127.0.0.1", "http")
    assert "Connection" not in headers
    (entry,) = entries(nginx, 1)
    assert (entry["request_id"], entry["traceparent"], entry["status"]) == ("mine-1", "00-1-2-01", 200)
    assert (entry["method"], entry["uri"]) == ("GET", "/v1/jobs?tag=a%20b")
    assert entry["upstream"] == f"127.0.0.1:{upstream.port}"


def test_a_request_without_a_usable_id_gets_one(nginx: Nginx) -> None:
    for number, given in enumerate(({}, {"X-Request-ID": 'a"b'}, {"X-Request-ID": "x" * 129}), start=1):
        made = httpx.get(f"{nginx.url}/v1/jobs", headers=given).json()["headers"]["X-Request-ID"]
        assert len(made) == 32
        assert entries(nginx, number)[-1]["request_id"] == made


def test_the_log_is_json_whatever_is_asked(nginx: Nginx) -> None:
    httpx.get(f'{nginx.url}/"\\%ff', headers={"User-Agent": '"}\\'})
    assert entries(nginx, 1)[0]["user_agent"] == '"}\\'


def test_bodies(nginx: Nginx, upstream: Upstream) -> None:
    # What is a little too large is the API's to refuse, which names what is wrong.
    fits = httpx.post(f"{nginx.url}/v1/jobs", content=b"x" * (MEGABYTE + 1))
    assert fits.json()["size"] == MEGABYTE + 1
    refused = httpx.post(f"{nginx.url}/v1/jobs", content=b"x" * (2 * MEGABYTE))
    assert refused.status_code == 413
    assert problem(refused)["type"] == "/problems/too-large"
    assert upstream.asked == ["POST"]


def test_only_what_may_be_repeated_is_tried_again(
    make_upstream: Callable[[], Upstream], start_nginx: StartNginx
) -> None:
    broken, sound = make_upstream(), make_upstream()
    broken.breaks_off = True
    for method, is_repeated in (("GET", True), ("DELETE", True), ("POST", False), ("PATCH", False)):
        nginx = start_nginx(broken.port, sound.port)
        broken.asked.clear()
        sound.asked.clear()
        answers = [httpx.request(method, f"{nginx.url}/v1/jobs") for _ in range(2)]
        assert broken.asked == [method], method
        if is_repeated:
            assert [answer.status_code for answer in answers] == [200, 200], method
            assert sound.asked == [method, method]
        else:
            assert sorted(answer.status_code for answer in answers) == [200, 503], method
            refused = next(answer for answer in answers if answer.status_code == 503)
            assert problem(refused)["type"] == "/problems/api-unavailable"
            assert sound.asked == [method]


@pytest.mark.parametrize("path", ["/v1/executions/bulk", f"/v1/jobs/{'1' * 36}/backfill"])
def test_what_does_much_is_waited_for_longer(
    start_nginx: StartNginx, make_upstream: Callable[[], Upstream], path: str
) -> None:
    slow = make_upstream()
    slow.waits = True
    nginx = start_nginx(slow.port, changes={"proxy_read_timeout 15s": "proxy_read_timeout 100ms"})
    with ThreadPoolExecutor() as caller:
        answer = caller.submit(httpx.post, f"{nginx.url}{path}", timeout=20)
        # By the time that nginx has given up another, it would have given up this one.
        assert httpx.post(f"{nginx.url}/v1/executions", timeout=20).status_code == 503
        assert httpx.post(f"{nginx.url}/v1/executions", timeout=20).status_code == 503
        slow.may_go_on.set()
        assert answer.result().status_code == 200


def test_a_server_that_is_gone_is_passed_over_for_writes_too(
    upstream: Upstream, start_nginx: StartNginx
) -> None:
    nginx = start_nginx(free_port(), upstream.port)
    answers = [httpx.post(f"{nginx.url}/v1/jobs") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200}


def test_the_servers_own_503_is_passed_on(
    make_upstream: Callable[[], Upstream], start_nginx: StartNginx
) -> None:
    first, second = make_upstream(), make_upstream()
    first.says_unavailable = second.says_unavailable = True
    nginx = start_nginx(first.port, second.port)
    for _ in range(5):
        answer = httpx.get(f"{nginx.url}/v1/jobs")
        assert (answer.status_code, answer.json()["path"]) == (503, "/v1/jobs")
    assert first.asked + second.asked == ["GET"] * 5
    first.says_unavailable = second.says_unavailable = False
    assert httpx.get(f"{nginx.url}/v1/jobs").status_code == 200


def test_nobody_there(start_nginx: StartNginx) -> None:
    nginx = start_nginx(free_port(), free_port())
    answer = httpx.get(f"{nginx.url}/v1/jobs", headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert problem(answer)["instance"] == "urn:request:mine"


def test_events_are_passed_on_at_once(nginx: Nginx, upstream: Upstream) -> None:
    with httpx.stream("GET", f"{nginx.url}/v1/events") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "data: first"
        upstream.may_go_on.set()
        assert list(lines) == ["", "data: second", ""]


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "/metrics//",
        "/metrics%2f",
        "//metrics",
        "/%2fmetrics",
        "/%6detrics?a",
        "/v1/..%2fmetrics/",
        "/metrics/bulk",
    ],
)
def test_metrics_are_not_for_the_public(nginx: Nginx, upstream: Upstream, path: str) -> None:
    answer = httpx.get(f"{nginx.url}{path}")
    assert (answer.status_code, problem(answer)["type"]) == (404, "/problems/not-found")
    assert upstream.asked == []


def test_health_is_asked_for_in_silence(nginx: Nginx) -> None:
    assert httpx.get(f"{nginx.url}/health/ready").status_code == 200
    httpx.get(f"{nginx.url}/v1/jobs")
    assert [entry["uri"] for entry in entries(nginx, 1)] == ["/v1/jobs"]


def test_a_flood_is_refused(upstream: Upstream, start_nginx: StartNginx) -> None:
    nginx = start_nginx(upstream.port, changes={"rate=5000r/s": "rate=1r/m", "burst=10000": "burst=1"})
    answers = [httpx.get(f"{nginx.url}/v1/jobs") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert problem(answers[2])["type"] == "/problems/too-many-requests"
    assert answers[2].headers["Retry-After"] == "1"


@pytest.mark.slow
def test_a_frozen_api_is_gone_around(topology: Topology, start_nginx: StartNginx, tmp_path: Path) -> None:
    answers: list[int] = []
    done = threading.Event()

    def read_on(url: str) -> None:
        with httpx.Client(timeout=30) as client:
            while not done.is_set():
                answers.append(client.get(f"{url}/v1/jobs").status_code)

    def wait_for_more() -> None:
        count = len(answers)
        wait_until(lambda: len(answers) >= count + 50, "50 more answers")

    with (
        ApiProcess(topology.environ(), log=tmp_path / "1.log") as first,
        ApiProcess(topology.environ(), log=tmp_path / "2.log") as second,
        ThreadPoolExecutor(4) as readers,
    ):
        nginx = start_nginx(
            first.port, second.port, changes={"proxy_read_timeout 15s": "proxy_read_timeout 5s"}
        )
        try:
            reading = [readers.submit(read_on, nginx.url) for _ in range(4)]
            wait_for_more()
            second.freeze()
            wait_for_more()
            second.thaw()
        finally:
            done.set()
        for each in reading:
            each.result()
        assert set(answers) == {401}  # nobody has a key: but each was answered, and by the API
    served = {entry["upstream"].split(", ")[-1] for entry in nginx.entries()}
    assert served == {f"127.0.0.1:{first.port}", f"127.0.0.1:{second.port}"}


@pytest.mark.slow
def test_the_etag_of_a_compressed_job_may_be_matched(
    topology: Topology, start_nginx: StartNginx, tmp_path: Path
) -> None:
    """nginx makes it weak: W/."""
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        row = conn.execute("select api_key from scheduler.create_api_key('test', '{admin}')").fetchone()
    assert row is not None
    job = {"name": "large", "job_type": "python", "target": "noop", "payload": "x" * 2000}
    with ApiProcess(topology.environ(), log=tmp_path / "api.log") as api:
        nginx = start_nginx(api.port)
        with httpx.Client(base_url=nginx.url, headers={"Authorization": f"Bearer {row[0]}"}) as client:
            made = client.post("/v1/jobs", json=job).headers
            path, token = made["Location"], made["X-Consistency-Token"]
            shown = client.get(path, headers={"Accept-Encoding": "gzip", "X-Consistency-Token": token})
            assert shown.headers["Content-Encoding"] == "gzip"
            assert shown.headers["ETag"].startswith("W/")
            changed = client.patch(path, json={"priority": 1}, headers={"If-Match": shown.headers["ETag"]})
            assert changed.status_code == 200, changed.text
            again = client.patch(path, json={"priority": 2}, headers={"If-Match": shown.headers["ETag"]})
            assert again.status_code == 412
