"""Live events: what changed and nothing else, taken up again where they broke off, ended in time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from psycopg import Connection

from app.api import events as hub_module
from app.api import streams as streams_module
from app.api.activity import Activity
from app.api.auth import EVERYBODY
from app.api.config import ApiSettings
from app.api.events import EventHub
from app.api.listener import SILENT_SECONDS, listen
from app.api.streams import LATE_MS, QUEUE_EVENTS, RING_EVENTS, Event, EventId, Ring, Stream
from tests.api.conftest import API_USER
from tests.conftest import Database
from tests.support.api import RunningApi
from tests.support.program import wait_until
from tests.support.sse import Listener
from tests.workers.support import until

MINE = {"job_type": "python", "target": {"handler": "nobody-has-it"}}


@pytest.fixture
def api_settings(database: Database) -> ApiSettings:
    """Few streams, so that there can be too many."""
    return ApiSettings(
        write_conninfo=database.dsn(user=API_USER),
        direct_conninfo=database.dsn(user=API_USER, direct=True),
        node_id="test",
        port=0,
        pool_size=4,
        max_streams=5,
        max_streams_per_key=3,
    )


@pytest.fixture
def listen_to(api: RunningApi) -> Iterator[Any]:
    """A function that listens with a key that may only read; all are hung up at the end."""
    with ExitStack() as stack:

        def begin(*, scope: str = "read", **options: Any) -> Listener:
            return stack.enter_context(Listener(api.url, key=api.keys[scope], **options))

        yield begin


def enqueue(client: httpx.Client, queue: str = "default") -> str:
    """Enqueues something that waits for ever, and returns its id."""
    answer = client.post("/v1/executions", json=MINE | {"queue": queue})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["execution_id"])


def test_it_begins_with_hello(listen_to: Any) -> None:
    listener = listen_to(topics="queues, jobs")
    assert listener.answer.status_code == 200
    assert listener.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert listener.answer.headers["cache-control"] == "no-cache"
    assert listener.answer.headers["x-accel-buffering"] == "no"
    hello = listener.wait_for_event("hello")
    assert hello == {"topics": ["jobs", "queues"], "resumed": False}
    assert listener.events[0].retry == 2000
    assert EventId.parse(listener.events[0].event_id) is not None


def test_what_changed_is_told_and_nothing_else(listen_to: Any, client: httpx.Client) -> None:
    listener = listen_to()
    listener.wait_for_event("hello")
    execution_id = enqueue(client)
    queues = listener.wait_for_event("queues")
    assert queues["queues"][0] | {"queue": "default", "ready": 1, "running": 0} == queues["queues"][0]
    client.post(f"/v1/executions/{execution_id}/cancel")
    ended = listener.wait_for_event("executions")["executions"]
    assert ended["more"] is False
    (one,) = ended["ended"]
    assert (one["execution_id"], one["status"]) == (execution_id, "cancelled")
    listener.wait_for(lambda events: {"stats"} < {event.name for event in events})
    other = enqueue(client)
    listener.wait_for_event("queues", times=3)
    # Each once, though it was looked at ever again: the end too, which the database tells for a while.
    assert len(listener.of("executions")) == 1
    assert [event.name for event in listener.events].count("hello") == 1
    client.post(f"/v1/executions/{other}/cancel")
    told = listener.wait_for_event("executions", times=2)["executions"]["ended"]
    assert [each["execution_id"] for each in told] == [other]
    ids = [EventId.parse(event.event_id or "") or EventId(0, 0) for event in listener.events]
    assert ids == sorted(set(ids))


def test_a_change_of_a_job_is_told(listen_to: Any, db: Connection[Any], api: RunningApi) -> None:
    wait_until(lambda: api.app.changes.mode != "down", "it hears of changes")
    listener = listen_to(topics="jobs")
    listener.wait_for_event("hello")
    make = (
        "select scheduler.create_job(name => 'seen', job_type => 'sql', target => '{\"statement\": \"x\"}')"
    )
    ((job_id,),) = db.execute(make.encode()).fetchall()  # in psql, so to speak
    told = listener.wait_for_event("jobs")
    assert told["jobs"] == {"changed": [str(job_id)], "more": False}
    answer = api.client("read").get(
        f"/v1/jobs/{job_id}", headers={"X-Consistency-Token": told["consistency_token"]}
    )
    assert answer.json()["name"] == "seen"


def test_an_event_names_the_state_to_read(listen_to: Any, client: httpx.Client, api: RunningApi) -> None:
    listener = listen_to(topics="executions")
    listener.wait_for_event("hello")
    execution_id = enqueue(client)
    client.post(f"/v1/executions/{execution_id}/cancel")
    token = listener.wait_for_event("executions")["consistency_token"]
    answer = client.get(f"/v1/executions/{execution_id}", headers={"X-Consistency-Token": token})
    assert answer.json()["status"] == "cancelled"
    assert int(answer.headers["x-consistency-token"], 16) >= int(token, 16)


def test_only_the_topics_that_were_asked_for(listen_to: Any, client: httpx.Client) -> None:
    of_all, of_queues = listen_to(), listen_to(topics="queues")
    for listener in (of_all, of_queues):
        listener.wait_for_event("hello")
    client.post(f"/v1/executions/{enqueue(client)}/cancel")
    of_all.wait_for(lambda events: {"executions", "stats"} < {event.name for event in events})
    enqueue(client)
    of_queues.wait_for(lambda _: of_queues.of("queues")[-1:] == of_all.of("queues")[-1:] != [])
    assert {event.name for event in of_queues.events} == {"hello", "queues"}


@pytest.mark.parametrize("by", ["header", "query"])
def test_what_was_missed_is_told(listen_to: Any, client: httpx.Client, by: str) -> None:
    with listen_to() as before:
        before.wait_for_event("hello")
        enqueue(client)
        before.wait_for_event("queues")
        last = before.last_id
    execution_id = enqueue(client)
    client.post(f"/v1/executions/{execution_id}/cancel")
    with listen_to(topics="stats") as other:  # meanwhile somebody else listens
        other.wait_for_event("stats")
    again = listen_to(headers={"Last-Event-ID": last}) if by == "header" else listen_to(last_event_id=last)
    ended = again.wait_for_event("executions")["executions"]["ended"]
    assert [each["execution_id"] for each in ended] == [execution_id]
    assert again.events[0][:3] == ("hello", None, {"topics": again.events[0].data["topics"], "resumed": True})
    assert again.of("reset") == []
    assert all(EventId.parse(event.event_id) > EventId.parse(last) for event in again.events[1:])  # type: ignore[operator]


@pytest.mark.parametrize("last", ["1-0", "99999999999999-0", "x", "1-1-1", "-", "1765432100000"])
def test_what_is_not_known_any_more_is_a_reset(listen_to: Any, last: str) -> None:
    listener = listen_to(headers={"Last-Event-ID": last})
    listener.wait_for_event("reset")
    assert [event.name for event in listener.events] == ["hello", "reset"]
    assert listener.of("hello")[0]["resumed"] is False
    assert listener.events[1].event_id == listener.events[0].event_id


def test_another_process_goes_on_where_one_stopped(
    api: RunningApi, api_settings: ApiSettings, keys: dict[str, str], listen_to: Any, client: httpx.Client
) -> None:
    with (
        RunningApi(api_settings, keys=keys) as other,
        Listener(other.url, key=keys["read"], topics="stats") as somebody,
        listen_to() as before,
    ):
        for listener in (somebody, before):
            listener.wait_for_event("hello")
        begun = EventId.parse(somebody.last_id)
        assert begun is not None

        def is_long_enough_ago() -> bool:
            enqueue(client)
            last = EventId.parse(before.last_id)
            return last is not None and last.milliseconds > begun.milliseconds + LATE_MS

        wait_until(is_long_enough_ago, "the other process knows what this one may not have heard of")
        last = before.last_id
        before.close()
        execution_id = enqueue(client)
        client.post(f"/v1/executions/{execution_id}/cancel")
        with Listener(other.url, key=keys["read"], headers={"Last-Event-ID": last}) as after:
            ended = after.wait_for_event("executions")["executions"]["ended"]
            assert [each["execution_id"] for each in ended] == [execution_id]
            assert after.of("hello")[0]["resumed"] is True
            assert after.of("reset") == []


def test_a_revoked_key_hears_no_more(api: RunningApi, db: Connection[Any], client: httpx.Client) -> None:
    revoke = "select scheduler.revoke_api_key(key_id) from scheduler.api_keys where name = 'read'"
    with (
        Listener(api.url, key=api.keys["read"]) as listener,
        Listener(api.url, key=api.keys["admin"]) as other,
    ):
        for each in (listener, other):
            each.wait_for_event("hello")
        db.execute(revoke)
        listener.wait_for_end()
        assert listener.events[-1].data == {"reason": "the API key works no more"}
        enqueue(client)
        other.wait_for_event("queues")
        assert listener.of("queues") == []


def test_too_many_streams(api: RunningApi, listen_to: Any) -> None:
    streams = [listen_to() for _ in range(3)]
    client = api.client("read")
    answer = client.get("/v1/events")
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "30"
    assert "'read' has 3 streams open" in answer.json()["detail"]
    others = [listen_to(scope="admin") for _ in range(2)]
    assert "this process has 5 streams open" in client.get("/v1/events").json()["detail"]
    streams[0].close()
    wait_until(lambda: api.app.events.streams == 4, "one has left")
    listen_to().wait_for_event("hello")
    assert len(others) == 2


def test_who_may_listen(api: RunningApi) -> None:
    assert api.client(None).get("/v1/events").status_code == 401
    assert api.client("enqueue").get("/v1/events").status_code == 403
    answer = api.client("read").get("/v1/events", params={"topics": "jobs,logs"})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "query.topics", "message": "is not known"}]
    assert api.client("read").get("/v1/events", params={"topics": ""}).status_code == 400
    assert api.client("read").get("/v1/events", params={"topic": "jobs"}).status_code == 400


def test_a_long_silence_is_broken_by_pings(listen_to: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "PING_SECONDS", 0.05)
    listener = listen_to()
    wait_until(lambda: listener.comments > 3, "pings")


def test_head_tells_the_headers_and_joins_nobody(api: RunningApi) -> None:
    client = api.client("read")
    for _ in range(10):  # more than there may be streams, over one connection
        answer = client.head("/v1/events")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
    assert client.get("/v1/jobs").status_code == 200
    assert api.app.events.streams == 0


async def test_a_change_after_the_last_has_left_leaves_the_loop_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def look(_: Any) -> Activity:
        return Activity(at=datetime.now(UTC), lsn=1, state={}, ended=[], more_ended=False)

    monkeypatch.setattr(hub_module, "LINGER_SECONDS", 0.0)
    hub = EventHub(look, find_key=None, draining=asyncio.Event(), max_streams=1, max_streams_per_key=1)
    looking = asyncio.create_task(hub._run())
    stream = hub.join(frozenset(["jobs"]), key=EVERYBODY, peer="x", digest=None, last=None)
    await until(lambda: hub.is_looking)
    hub.leave(stream)
    # In its last pause: an event that nobody would clear, were it waited for without an end.
    hub.changed(None)
    await until(lambda: not hub.is_looking)
    await asyncio.sleep(0.05)
    assert not looking.done()  # as it would be, had a time limit of the test broken its loop
    looking.cancel()
    await asyncio.wait({looking})


def test_nobody_listens_nobody_looks(
    db: Connection[Any],
    database: Database,
    keys: dict[str, str],
    api_settings: ApiSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(hub_module, "LOOK_SECONDS", 0.2)
    # For the sessions that the API opens.
    db.execute(f"alter database {database.name} set track_functions = 'all'".encode())

    def looks() -> int:
        row = db.execute(
            "select sum(calls)::int from pg_stat_user_functions where funcname = 'activity'"
        ).fetchone()
        return row[0] or 0 if row else 0

    with RunningApi(api_settings, keys=keys) as api:
        with Listener(api.url, key=keys["read"]) as listener:
            listener.wait_for_event("hello")
            wait_until(lambda: looks() > 3, "looks")
        wait_until(lambda: api.app.events.streams == 0, "all have left")
        wait_until(lambda: not api.app.events.is_looking, "it has stopped")
        before = looks()
        for _ in range(20):
            assert api.client("read").get("/v1/jobs").status_code == 200
        assert looks() - before <= 3  # what the sessions had still to report
        with Listener(api.url, key=keys["read"]) as listener:
            listener.wait_for_event("hello")


def test_who_reads_too_slowly_has_to_begin_anew() -> None:
    stream = Stream(frozenset({"jobs"}), owner=uuid4(), digest=None)
    for number in range(QUEUE_EVENTS + 50):
        stream.push(Event.of("jobs", number, event_id=EventId(1, number)))
    stream.push(Event.of("queues", 1))

    async def everything() -> list[bytes | None]:
        return [await stream.next(), await stream.next()]

    frames, end = asyncio.run(everything())
    assert frames is not None
    assert frames.startswith(b"event: reset\n")
    assert frames.count(b"event: ") == 1
    assert end is None


def test_a_connection_that_nobody_reads_from_is_cut_by_the_system(api_settings: ApiSettings) -> None:
    with listen(api_settings) as listener:
        listener.setblocking(True)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as taken:
            set_to = taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert set_to == SILENT_SECONDS * 1000


def test_the_ring_knows_from_where_it_is_complete() -> None:
    ring = Ring(EventId(1000, 0))
    assert list(ring.after(EventId(1000, 0)) or [1]) == []
    assert ring.after(EventId(999, 5)) is None
    for _ in range(RING_EVENTS):
        ring.add(Event.of("jobs", 1, event_id=ring.next_id(1000)))  # many in one millisecond
    assert ring.newest == EventId(1000, RING_EVENTS)
    assert len(list(ring.after(EventId(1000, 0)) or [])) == RING_EVENTS
    ring.add(Event.of("jobs", 1, event_id=ring.next_id(900)))  # a clock that was set back
    assert ring.newest == EventId(1000, RING_EVENTS + 1)
    assert ring.after(EventId(1000, 0)) is None
    assert len(list(ring.after(EventId(1000, 1)) or [])) == RING_EVENTS


def test_who_comes_from_another_process_is_told_what_that_had_not_heard_of() -> None:
    ring = Ring(EventId(0, 0))
    for at in (1000, 4000, 4500, 5000):
        for name in ("jobs", "stats"):
            ring.add(Event.of(name, at, event_id=ring.next_id(at)))

    def told(last: EventId) -> list[tuple[str, int]]:
        return [
            (event.name, event.event_id.milliseconds) for event in ring.after(last) or () if event.event_id
        ]

    assert told(EventId(4500, 1)) == [("jobs", 5000), ("stats", 5000)]  # its own
    # Of the look in which that told its event, it told more: of what was told here at 4000.
    others = [(name, at) for at in (4000, 4500, 5000) for name in ("jobs", "stats")]
    assert told(EventId(4500, 7)) == others
    assert ring.after(EventId(2000, 0)) is None  # it was not there yet when that may have been heard of


def test_an_event_is_on_one_line() -> None:
    event = Event.of("queues", msgspec.Raw(b'[{"a":\n1},\r\n2]'), event_id=EventId(5, 1), retry_ms=7)
    assert event.frame == b'event: queues\nid: 5-1\nretry: 7\ndata: [{"a": 1},  2]\n\n'
