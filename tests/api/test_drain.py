"""A process that is told to leave: what was asked is answered, nothing new taken, and it is gone in time."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import Connection

from app.api.config import ApiSettings
from app.api.listener import listen
from app.api.main import create_app
from app.api.server import Server, _take_all, configure
from app.api.streams import LATE_MS, EventId
from tests.api.conftest import API_USER
from tests.conftest import Connect, Database, StartNginx
from tests.support.api_process import ApiProcess
from tests.support.cli import error_line, pgtick
from tests.support.guard import is_alive
from tests.support.load import Load
from tests.support.program import accepts, wait_until
from tests.support.sse import Listener, Told

pytestmark = pytest.mark.slow

PATH = "/v1/executions?limit=5"
IN_TIME_SECONDS = 12.0
"""Far less than the time to drain: it is left early."""

Start = Callable[..., ApiProcess]


@pytest.fixture
def start(database: Database, tmp_path: Path) -> Iterator[Start]:
    """A function that runs `pgtick api` on the test's database; all are ended at the end."""
    started: list[ApiProcess] = []

    def run(*args: str, **variables: str) -> ApiProcess:
        given = {"DB_WRITE_CONNECTION_STRING": database.dsn(user=API_USER)} | variables
        log = tmp_path / f"api-{len(started)}.log"
        started.append(ApiProcess(given, log=log, arguments=args))
        return started[-1]

    yield run
    for each in started:
        each.stop()


class Stuck:
    """A request that the database does not answer until it is let go."""

    def __init__(self, api: ApiProcess, key: str, holder: Connection[Any]) -> None:
        self.answer: httpx.Response | None = None
        self.error: httpx.HTTPError | None = None
        self._holder = holder
        self._thread = threading.Thread(target=self._call, args=(api.url, key))

    def _call(self, url: str, key: str) -> None:
        body = {"name": "stuck", "job_type": "sql", "target": {"statement": "select 1"}}
        headers = {"Authorization": f"Bearer {key}"}
        try:
            self.answer = httpx.post(f"{url}/v1/jobs", json=body, headers=headers, timeout=60)
        except httpx.HTTPError as error:
            self.error = error

    def let_go(self) -> None:
        """Has it answered."""
        self._holder.rollback()
        self._thread.join()

    def start(self, watcher: Connection[Any]) -> None:
        """Sends it, and waits until the database has it."""
        self._holder.execute("lock table scheduler_internal.job_names in access exclusive mode")
        self._thread.start()
        waiting = (
            "select count(*) from pg_stat_activity"
            " where wait_event_type = 'Lock' and datname = current_database()"
        )
        wait_until(lambda: watcher.execute(waiting).fetchone() == (1,), "the request waits for the lock")


@pytest.fixture
def stuck(connect: Connect, db: Connection[Any], keys: dict[str, str]) -> Callable[[ApiProcess], Any]:
    """A context in which a request is under way and does not end."""

    @contextmanager
    def under_way(api: ApiProcess) -> Iterator[Stuck]:
        request = Stuck(api, keys["admin"], connect(autocommit=False, direct=True))
        request.start(db)
        try:
            yield request
        finally:
            request.let_go()

    return under_way


def test_nobody_under_load_is_failed(start: Start, keys: dict[str, str]) -> None:
    api = start()
    with Load(api.url, PATH, key=keys["read"], may_be_refused=True) as load:
        load.wait_for(100)
        assert api.stop() == 0
        load.join()  # every client was refused in the end
    assert load.failed == []
    assert "draining" in api.said
    assert '"event": "left"' in api.said
    assert "Traceback" not in api.said


async def test_a_connection_that_nobody_has_taken_yet_is_answered(api_settings: ApiSettings) -> None:
    api = create_app(api_settings)
    server = Server(configure(api, api_settings), api, ready_fd=None)
    listener = listen(api_settings)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([listener])
    # All of this without the loop, which therefore knows nothing of it.
    with socket.create_connection(listener.getsockname()) as late:
        late.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await server.shutdown([listener])
        assert late.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.skipif(sys.platform != "linux", reason="its socket filters")
async def test_who_comes_as_the_socket_is_closed_is_refused(
    api_settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = create_app(api_settings)
    server = Server(configure(api, api_settings), api, ready_fd=None, alone=True)
    listener = listen(api_settings)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([listener])
    address = listener.getsockname()
    with socket.socket() as late:
        late.setblocking(False)

        def take_all_while_one_comes(taken_from: socket.socket) -> Iterator[socket.socket]:
            yield from _take_all(taken_from)
            assert late.connect_ex(address) == errno.EINPROGRESS

        monkeypatch.setattr("app.api.server._take_all", take_all_while_one_comes)
        await server.shutdown([listener])
        select.select([], [late], [], IN_TIME_SECONDS)
        assert late.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


def test_what_is_under_way_is_answered(start: Start, stuck: Callable[[ApiProcess], Any]) -> None:
    api = start()
    with stuck(api) as request:
        api.send(signal.SIGTERM)
        wait_until(lambda: not accepts(api.port), "no more connections are taken")
        assert api.is_running()
    assert request.answer.status_code == 201
    assert request.answer.headers["connection"] == "close"
    assert api.stop() == 0


def test_a_second_signal_cuts_it_short(start: Start, stuck: Callable[[ApiProcess], Any]) -> None:
    api = start()
    with stuck(api) as request:
        api.send(signal.SIGTERM)
        api.wait_for("draining")
        api.send(signal.SIGTERM)
        wait_until(lambda: not api.is_running(), "it has left", seconds=IN_TIME_SECONDS)
        assert api.stop() == 0
    assert request.answer.status_code == 503
    assert "Traceback" not in api.said


def test_nobody_is_waited_for_too_long(start: Start, stuck: Callable[[ApiProcess], Any]) -> None:
    api = start(PGTICK_API_DRAIN_SECONDS="0.5")
    with stuck(api) as request:
        api.send(signal.SIGINT)
        wait_until(lambda: not api.is_running(), "it has left", seconds=IN_TIME_SECONDS)
        assert api.stop() == 0
    assert request.answer.status_code == 503
    assert request.answer.json()["detail"] == "this process has to leave"
    assert "Traceback" not in api.said


def test_a_port_in_use_is_one_line(start: Start, database: Database) -> None:
    api = start()
    given = {"DB_WRITE_CONNECTION_STRING": database.dsn(user=API_USER)}
    line = error_line(pgtick("api", "--port", str(api.port), **given))
    assert f"cannot listen on 127.0.0.1:{api.port} (Address already in use): " in line
    assert "PGTICK_API_PORT" in line
    assert "--fd 9 is no listening socket" in error_line(pgtick("api", "--fd", "9", **given))


def test_several_processes_serve_and_leave_together(start: Start, keys: dict[str, str]) -> None:
    api = start("--processes", "2")
    api.wait_for('"event": "serving"', times=2)
    with Load(api.url, PATH, key=keys["read"], may_be_refused=True) as load:
        load.wait_for(100)
        children = api.children()
        assert len(children) == 2
        assert api.stop() == 0
        load.join()
    assert load.failed == []
    assert api.said.count('"event": "left"') == 2


def test_a_killed_process_is_started_again(start: Start, keys: dict[str, str]) -> None:
    api = start("--processes", "2")
    api.wait_for('"event": "serving"', times=2)
    before = api.children()
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    api.wait_for("a process died, starting another")
    wait_until(lambda: len(api.children()) == 2, "there are two again")
    assert killed not in api.children()
    assert len(before & api.children()) == 1
    with Load(api.url, PATH, key=keys["read"]) as load:
        load.wait_for(50)
    assert load.failed == []


def test_all_are_replaced_and_nobody_is_failed(start: Start, keys: dict[str, str]) -> None:
    api = start("--processes", "2")
    api.wait_for('"event": "serving"', times=2)
    before = api.children()
    with Load(api.url, PATH, key=keys["read"]) as load:
        load.wait_for(50)
        api.send(signal.SIGHUP)
        api.wait_for("replaced a process", times=2)
        api.wait_for('"event": "left"', times=2)
        load.wait_for(50)
    assert load.failed == []
    wait_until(lambda: len(api.children()) == 2, "there are two")
    assert not before & api.children()


def test_a_replacement_that_does_not_start_replaces_nothing(
    start: Start, keys: dict[str, str], tmp_path: Path
) -> None:
    setting = tmp_path / "pool-size"
    setting.write_text("4")
    api = start("--processes", "2", PGTICK_API_POOL_SIZE_FILE=str(setting))
    api.wait_for('"event": "serving"', times=2)
    before = api.children()
    setting.write_text("many")
    api.send(signal.SIGHUP)
    api.wait_for("a new process does not get ready, the old ones stay")
    assert "PGTICK_API_POOL_SIZE must be a whole number from 2 to 200, not 'many'" in api.said
    assert "Traceback" not in api.said
    with Load(api.url, PATH, key=keys["read"]) as load:
        load.wait_for(50)
    assert load.failed == []
    assert api.children() == before
    setting.write_text("5")
    api.send(signal.SIGHUP)
    api.wait_for("replaced a process", times=2)


def test_a_ctrl_c_reaches_each_process_once(start: Start, stuck: Callable[[ApiProcess], Any]) -> None:
    api = start("--processes", "2")
    api.wait_for('"event": "serving"', times=2)
    with stuck(api) as request:
        os.killpg(api.pid, signal.SIGINT)
        api.wait_for("draining", times=2)
        wait_until(lambda: not accepts(api.port), "no more connections are taken")
        assert api.is_running()
    assert request.answer.status_code == 201
    assert api.stop() == 0


def test_a_killed_parent_takes_its_processes_along(start: Start) -> None:
    api = start("--processes", "2")
    api.wait_for('"event": "serving"', times=2)
    children = api.children()
    os.kill(api.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, children)), "they have left")


def test_streams_end_with_bye_at_once(start: Start, keys: dict[str, str]) -> None:
    api = start("--processes", "2")
    with Listener(api.url, key=keys["read"]) as listener:
        listener.wait_for_event("hello")
        began = time.monotonic()
        assert api.stop() == 0
        assert time.monotonic() - began < IN_TIME_SECONDS
        listener.wait_for_end()
    assert listener.error is None  # it was ended, not cut
    assert listener.events[-1].name == "bye"
    assert listener.events[-1].data == {"reason": "this process is about to leave"}
    assert 0 < (listener.events[-1].retry or 0) <= 2000


def milliseconds(listener: Listener) -> int:
    """Returns up to when it was told everything."""
    last = EventId.parse(listener.last_id)
    assert last is not None
    return last.milliseconds


def are_ready(number: int) -> Callable[[list[Told]], bool]:
    """Returns what tells whether so many executions are ready, by the newest that was told."""

    def holds(events: list[Told]) -> bool:
        told = [event.data["queues"][0]["ready"] for event in events if event.name == "queues"]
        return told[-1:] == [number]

    return holds


def test_a_stream_goes_on_at_the_other_behind_nginx(
    start: Start, start_nginx: StartNginx, keys: dict[str, str]
) -> None:
    leaving, staying = start(), start()
    nginx = start_nginx(leaving.port, staying.port)
    enqueue = {"job_type": "python", "target": {"handler": "nobody-has-it"}}
    headers = {"Authorization": f"Bearer {keys['enqueue']}"}
    # One at each: nginx gives a connection to the server that has the fewest.
    with Listener(nginx.url, key=keys["read"]) as one, Listener(nginx.url, key=keys["read"]) as other:
        for listener in (one, other):
            listener.wait_for_event("hello")
        begun = max(milliseconds(one), milliseconds(other))
        waiting = 0
        # What one may hear of so much later than the other, it then knows.
        while min(milliseconds(one), milliseconds(other)) <= begun + LATE_MS:
            httpx.post(f"{nginx.url}/v1/executions", json=enqueue, headers=headers).raise_for_status()
            waiting += 1
            for listener in (one, other):
                listener.wait_for(are_ready(waiting))
        assert leaving.stop() == 0
        wait_until(lambda: one.has_ended or other.has_ended, "one of them has ended")
        ended, unhurt = (one, other) if one.has_ended else (other, one)
        assert ended.events[-1].name == "bye"
        httpx.post(f"{nginx.url}/v1/executions", json=enqueue, headers=headers).raise_for_status()
        unhurt.wait_for(are_ready(waiting + 1))
        with Listener(nginx.url, key=keys["read"], headers={"Last-Event-ID": ended.last_id}) as again:
            # The two look at different times, so that what was seen here may be told there once more.
            again.wait_for(are_ready(waiting + 1))
            assert again.of("hello")[0]["resumed"] is True
            assert again.of("reset") == []
        assert not unhurt.has_ended
