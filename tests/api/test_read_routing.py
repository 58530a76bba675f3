"""Reads over a primary and two replicas: what was written is read, whoever is late, frozen or gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import msgspec
import psycopg
import psycopg_pool
import pytest
import structlog

from app.api.activity import look_at_activity
from app.api.config import ApiSettings
from app.api.context import Context
from app.api.database import Database, Idempotency
from app.api.errors import problem_of
from app.api.pools import DeadlineExceededError, lent
from app.api.queries import Write
from app.api.replicas import FAILURES, READ_SECONDS, WATCH_CALL_SECONDS, WATCH_SECONDS
from app.cluster import Cluster
from tests.api.conftest import MAKE_KEYS
from tests.support.api import RunningApi
from tests.support.program import wait_until
from tests.support.replica import Replica
from tests.support.server import Server
from tests.support.topology import Topology
from tests.workers.support import until

pytestmark = [pytest.mark.slow, pytest.mark.direct]

TOKEN = "X-Consistency-Token"
DELAY = "2s"
MANY = 20
SEGMENT_BYTES = 1 << 24


@pytest.fixture(scope="module")
def key(topology: Topology) -> str:
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        row = conn.execute(MAKE_KEYS, [["admin"]]).fetchone()
    assert row is not None
    topology.wait_until_replayed()
    return str(row[1])


@pytest.fixture
def settings(topology: Topology) -> ApiSettings:
    environ = topology.environ()
    return ApiSettings(
        write_conninfo=environ["DB_WRITE_CONNECTION_STRING"],
        direct_conninfo=environ["DB_DIRECT_CONNECTION_STRING"],
        replicas=(environ["DB_READ_REPLICA_1"], environ["DB_READ_REPLICA_2"]),
        redis_url=environ["REDIS_URL"],
        redis_password=environ["REDIS_PASSWORD"],
        node_id="test",
        port=0,
        pool_size=4,
    )


@pytest.fixture
def api(settings: ApiSettings, key: str) -> Iterator[RunningApi]:
    with RunningApi(settings, keys={"admin": key}) as running:
        router = running.app.database.router
        wait_until(lambda: all(source.status == "up" for source in router.replicas), "both replicas are up")
        yield running


@contextmanager
def late(topology: Topology, *numbers: int) -> Iterator[None]:
    """Has replicas replay two seconds late."""
    for number in numbers:
        topology.replicas[number].set_delay(DELAY)
    try:
        yield
    finally:
        for number in numbers:
            topology.replicas[number].set_delay("0")
        topology.wait_until_replayed()


@contextmanager
def closed(topology: Topology) -> Iterator[None]:
    """Has nobody reach the primary."""
    topology.pooler.kill()
    try:
        yield
    finally:
        topology.pooler.restart()


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Has a server's processes stand still, so that it takes connections and answers nothing."""
    pid = cluster.pid()
    stopped = [
        int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal() and parent(path) == pid
    ]
    for each in (pid, *stopped):
        assert each is not None
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in (pid, *stopped):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each or 0, signal.SIGCONT)


def parent(process: Path) -> int:
    """Returns the parent of a process in /proc."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@contextmanager
def readers(api: RunningApi, paths: list[str], *, count: int = 4) -> Iterator[list[httpx.Response]]:
    """Has so many clients read while the block runs, past the cache; every one of their answers is kept."""
    answers: list[httpx.Response] = []
    done = threading.Event()

    def read(number: int) -> None:
        with httpx.Client(base_url=api.url, headers={"Cache-Control": "no-cache"}, timeout=20) as client:
            client.headers["Authorization"] = f"Bearer {api.keys['admin']}"
            while not done.is_set():
                answers.extend(client.get(path) for path in paths[number:] + paths[:number])

    with ThreadPoolExecutor(count) as pool:
        tasks = [pool.submit(read, number % len(paths)) for number in range(count)]
        try:
            yield answers
        finally:
            done.set()
        for task in tasks:
            task.result()


def enqueue(client: httpx.Client) -> tuple[str, str]:
    """Makes an execution and returns its path and the token."""
    answer = client.post("/v1/executions", json={"job_type": "python", "target": "noop", "payload": 1})
    assert answer.status_code == 201, answer.text
    return answer.headers["Location"], answer.headers[TOKEN]


@pytest.mark.parametrize("numbers", [(0,), (0, 1)], ids=["one replica late", "both late"])
def test_what_was_written_is_read(topology: Topology, api: RunningApi, numbers: tuple[int, ...]) -> None:
    client = api.client()
    with late(topology, *numbers):
        for _ in range(40):
            path, token = enqueue(client)
            answer = client.get(path, headers={TOKEN: token})
            assert answer.status_code == 200, answer.text
            assert int(answer.headers[TOKEN], 16) >= int(token, 16)


def test_what_is_new_is_there_for_who_has_no_token(topology: Topology, api: RunningApi) -> None:
    client = api.client()
    unknown = f"/v1/executions/{uuid4()}"
    with late(topology, 0, 1):
        path, _ = enqueue(client)
        assert client.get(path).status_code == 200
        assert client.get(unknown).status_code == 404
    with closed(topology):
        assert client.get(unknown).status_code == 404


def test_what_is_new_is_there_while_the_primary_is_wrongly_taken_for_dead(
    topology: Topology, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary = api.app.database.primary
    with late(topology, 0, 1):
        with psycopg.connect(topology.conninfo(), autocommit=True) as conn:  # so that the API knows no LSN
            row = conn.execute("select scheduler.enqueue('python', target => '\"noop\"')").fetchone()
        path = f"/v1/executions/{row and row[0]}"
        monkeypatch.setattr(primary, "answered", lambda: None)
        primary.failed(OSError("as if"))
        assert api.client().get(path).status_code == 200
        assert primary.status == "down"


def test_a_change_of_a_job_is_read_by_its_token(topology: Topology, api: RunningApi) -> None:
    client = api.client()
    job = {"name": f"job {uuid4()}", "job_type": "http", "target": {"url": "https://example.com/"}}
    path = client.post("/v1/jobs", json=job).headers["Location"]
    with late(topology, 0, 1):
        for priority in range(20):
            token = client.patch(path, json={"priority": priority}).headers[TOKEN]
            assert client.get(path, headers={TOKEN: token}).json()["priority"] == priority


def test_reads_go_to_replicas(topology: Topology, api: RunningApi) -> None:
    """While the primary's door is shut nobody notices, neither before the API does nor after."""
    path, _ = enqueue(api.client())
    topology.wait_until_replayed()
    primary = api.app.database.primary
    ring = api.app.ring
    assert ring is not None
    with readers(api, [path, "/v1/jobs", "/v1/executions"]) as answers:
        wait_until(lambda: len(answers) > 50, "readers read")
        with closed(topology):
            ring.forget()  # so that the key, too, has to be looked up on a replica
            wait_until(lambda: primary.status == "down", "it is noticed")
            ring.forget()
            so_far = len(answers)
            wait_until(lambda: len(answers) > so_far + 300, "readers read on, and wait for nobody")
    assert {answer.status_code for answer in answers} == {200}


def test_a_key_that_is_revoked_is_so_on_a_replica_too_that_is_late(
    topology: Topology, api: RunningApi
) -> None:
    """While the primary's door is shut: a replica that lacks a change that was heard of does not do."""
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        row = conn.execute(
            "select key_id, api_key from scheduler.create_api_key('leaver', '{read}')"
        ).fetchone()
        assert row is not None
        key_id, secret = row
        topology.wait_until_replayed()
        client = api.client(None, headers={"Authorization": f"Bearer {secret}"})
        assert client.get("/v1/queues").status_code == 200
        floors = api.app.cache.floors
        before = floors.floor_of(("keys",))
        with late(topology, 0, 1), closed(topology):
            conn.execute("select scheduler.revoke_api_key(%s)", [key_id])
            wait_until(lambda: floors.floor_of(("keys",)) > before, "it is heard of")
            assert client.get("/v1/queues").status_code != 200


def test_a_killed_replica_costs_no_answer(topology: Topology, api: RunningApi) -> None:
    paths = [enqueue(api.client())[0], "/v1/jobs", "/v1/executions?limit=5"]
    topology.wait_until_replayed()
    replica = topology.replicas[0]
    source = api.app.database.router.replicas[0]
    with readers(api, paths) as answers:
        wait_until(lambda: len(answers) > 50, "readers read")
        replica.kill()
        wait_until(lambda: source.status == "down", "its end is noticed")
        so_far = len(answers)
        wait_until(lambda: len(answers) > so_far + 100, "readers read on")
        replica.start()
        wait_until(lambda: source.status == "up", "it is back")
        so_far = len(answers)
        wait_until(lambda: len(answers) > so_far + 50, "readers read on")
    assert {answer.status_code for answer in answers} == {200}


def test_a_frozen_replica_costs_no_answer(topology: Topology, api: RunningApi) -> None:
    paths = [enqueue(api.client())[0], "/v1/jobs", "/v1/executions?limit=5"]
    topology.wait_until_replayed()
    source = api.app.database.router.replicas[1]
    with readers(api, paths) as answers:
        wait_until(lambda: len(answers) > 50, "readers read")
        with frozen(topology.replicas[1].cluster):
            wait_until(lambda: source.in_flight > 0, "somebody waits for it")
            wait_until(lambda: source.status == "down", "it is noticed")
            so_far = len(answers)
            wait_until(lambda: len(answers) > so_far + 100, "readers read on")
            wait_until(lambda: source.in_flight == 0, "nobody waits for it any more")
        wait_until(lambda: source.status == "up", "it is back")
    assert {answer.status_code for answer in answers} == {200}


async def test_a_read_that_takes_too_long_puts_no_source_to_blame(settings: ApiSettings) -> None:
    """Else one slow question would be asked of all in turn, and all would be passed over after it."""
    database = Database(settings)
    async with database.opened():
        sources = database.sources
        await until(lambda: {source.status for source in sources} == {"up"})
        began = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled) as error:
            await database.router.read(b"select 'x' from pg_sleep(20)", {}, floor=0)
        assert time.monotonic() - began < 3 * READ_SECONDS  # one replica and the primary were asked
        assert problem_of(error.value).slug == "database-too-slow"
        assert {source.status for source in sources} == {"up"}


async def test_a_pool_that_is_all_in_use_says_nothing_about_its_source(settings: ApiSettings) -> None:
    database = Database(msgspec.structs.replace(settings, replicas=()))
    primary = database.primary
    async with database.opened(), AsyncExitStack() as stack:
        await until(lambda: primary.status == "up")
        for _ in range(settings.pool_size):
            await stack.enter_async_context(lent(primary.pool, seconds=30))
        with pytest.raises(psycopg_pool.PoolTimeout) as error:
            await database.router.read(b"select 'x'", {}, floor=0)
        assert problem_of(error.value).slug == "database-busy"
        assert primary.status == "up"
        assert primary.silent_seconds < WATCH_SECONDS + WATCH_CALL_SECONDS


async def test_a_pooler_that_was_replaced_is_found_at_once(topology: Topology, settings: ApiSettings) -> None:
    """What is idle in the pool died with it, and is not to be met one by one."""
    database = Database(msgspec.structs.replace(settings, replicas=(), pool_size=MANY))
    primary = database.primary
    async with database.opened():
        await until(lambda: primary.status == "up")
        async with AsyncExitStack() as stack:
            for _ in range(MANY):
                await stack.enter_async_context(lent(primary.pool, seconds=30))
        watching = primary._watching
        topology.pooler.kill()
        topology.pooler.restart()
        restarted_at = time.monotonic()
        await until(lambda: primary._watching not in (None, watching))
        found_at = time.monotonic()
        await until(lambda: time.monotonic() - primary.silent_seconds > found_at)
        assert time.monotonic() - restarted_at < MANY * WATCH_SECONDS / 2
        for _ in range(MANY):
            assert await database.router.read(b"select 'x'", {}, floor=0)


async def test_a_replica_that_follows_another_primary_is_passed_over(
    topology: Topology, settings: ApiSettings, server_folder: Path
) -> None:
    """As one that was ahead of the promoted one: by its LSN it would have what a token asks for."""

    def write(conninfo: str, *, segments: int) -> None:
        with psycopg.connect(conninfo, autocommit=True) as conn:
            for _ in range(segments):
                conn.execute("select pg_logical_emit_message(false, 'test', '')")
                conn.execute("select pg_switch_wal()")

    write(topology.conninfo(), segments=10)
    topology.wait_until_replayed()
    heir = Server.start(server_folder / "heir", origin=topology.primary.origin)
    try:
        theirs = heir.conninfo("postgres")
        database = Database(
            msgspec.structs.replace(settings, write_conninfo=theirs, replicas=settings.replicas[:1])
        )
        (replica,) = database.router.replicas
        async with database.opened():
            with structlog.testing.capture_logs() as said:
                await until(lambda: replica.status == "down")
            assert [
                line["source"] for line in said if "it is ahead of the primary" in line.get("error", "")
            ] == ["replica_1"]
            value, _ = await database.router.read(b"select current_database()::text", {}, floor=1)
            assert value == "postgres"

            write(theirs, segments=1 + replica.lsn // SEGMENT_BYTES)
            for _ in range(3):  # also when the primary has passed it
                looked_at = time.monotonic()
                await until(lambda: time.monotonic() - database.primary.silent_seconds > looked_at)  # noqa: B023
            assert database.primary.lsn > replica.lsn
            assert replica.status == "down"

            heir.stop()
            with pytest.raises(FAILURES):  # rather than what the replica has
                await database.router.read(b"select current_database()::text", {}, floor=1)

            write(topology.conninfo(), segments=1)  # who moves follows somebody
            await until(lambda: replica.status == "up")
    finally:
        heir.stop()


async def test_a_replica_that_was_promoted_is_passed_over(
    topology: Topology, settings: ApiSettings, server_folder: Path
) -> None:
    """It goes on by itself, so its LSN is at times behind that of the primary, and at times ahead."""
    promoted = Replica(topology.primary, server_folder / "promoted")
    try:
        theirs = promoted.conninfo(topology.dbname, user="pgtick_api")
        database = Database(msgspec.structs.replace(settings, replicas=(theirs, topology.conninfo())))
        replica, same = database.router.replicas
        async with database.opened():
            await until(lambda: {source.status for source in database.sources} == {"up"})
            promoted.promote()
            with structlog.testing.capture_logs() as said:
                await until(lambda: replica.status == "down")
            assert [line["source"] for line in said if "takes writes" in line.get("error", "")] == [
                "replica_1"
            ]
            for _ in range(3):
                with psycopg.connect(promoted.conninfo(topology.dbname), autocommit=True) as conn:
                    conn.execute("select pg_logical_emit_message(true, 'test', repeat('x', 100000))")
                seen = replica.lsn
                await until(lambda: replica.lsn > seen)  # noqa: B023
                looked_at = time.monotonic()
                await until(lambda: time.monotonic() - same.silent_seconds > looked_at)  # noqa: B023
                assert (replica.status, same.status) == ("down", "up")  # who names the primary twice may
    finally:
        promoted.stop()


async def test_a_replica_that_is_where_the_primary_is_follows_it(settings: ApiSettings) -> None:
    """One that was behind it answered in the primary's place for a moment, before it was promoted."""
    router = Database(msgspec.structs.replace(settings, replicas=settings.replicas[:1])).router
    (replica,) = router.replicas
    states = []
    for behind in (290, 300):
        router._seen.append((time.monotonic(), behind))
        router._find_strays({replica: 300}, behind)
        router._note_replica(replica, 300)
        states.append(replica.status)
    assert states == ["down", "up"]


async def test_events_come_from_the_primary_alone(
    topology: Topology, settings: ApiSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a replica that is behind, ends would be left out that were told as of its time."""
    database = Database(settings)
    primary = database.primary
    look = look_at_activity(database)
    async with database.opened():
        await until(lambda: {source.status for source in database.sources} == {"up"})
        with closed(topology), pytest.raises(FAILURES):
            await look(None)
        await until(lambda: primary.status == "up")
        monkeypatch.setattr(primary, "answered", lambda: None)
        primary.failed(OSError("as if"))
        for replica in database.router.replicas:
            monkeypatch.delattr(replica, "pool")
        assert (await look(None)).lsn > 0


async def test_a_keyed_write_that_ran_out_of_time_is_not_tried_again(
    topology: Topology, settings: ApiSettings
) -> None:
    """The first try may still be at work, and the client has waited for long."""
    database = Database(settings)
    idempotency = Idempotency(key=str(uuid4()), request_hash=b"hash")
    tries = """
        select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%start_request%'
    """
    with psycopg.connect(topology.conninfo(user="postgres")) as holder:
        row = holder.execute(
            "select scheduler.create_job(name => %s, job_type => 'sql', target => '\"select 1\"')",
            [uuid4().hex],
        ).fetchone()
        assert row is not None
        holder.commit()
        holder.execute("select from scheduler_internal.jobs where job_id = %s for update", row)
        write = Write("pause_job", {"job_id": row[0]})
        async with database.opened():
            await until(lambda: database.primary.status == "up")
            with pytest.raises(DeadlineExceededError):
                await database.write(Context(request_id="r"), write, idempotency=idempotency, seconds=1.0)
            seen = holder.execute(tries).fetchone()
            assert seen is not None
            assert seen[0] <= 1


async def test_a_conflict_with_recovery_costs_no_answer(topology: Topology, settings: ApiSettings) -> None:
    """A read in the way of what a replica has to replay is cancelled there, and done elsewhere."""
    slow_read = b"select count(*)::text from scheduler.jobs j right join pg_sleep(1.5) on true"
    reads = (
        "select from pg_stat_activity where query like '%right join pg_sleep%' and pid <> pg_backend_pid()"
    )
    database = Database(msgspec.structs.replace(settings, replicas=settings.replicas[:1]))
    replica = database.router.replicas[0]
    with (
        psycopg.connect(topology.replica_conninfo(0, user="postgres"), autocommit=True) as conn,
        structlog.testing.capture_logs() as said,
    ):
        async with database.opened():
            reading = asyncio.create_task(database.router.read(slow_read, {}, floor=0))
            while conn.execute(reads).fetchone() is None:  # noqa: ASYNC110 - a server sets no event
                await asyncio.sleep(0.01)
            topology.provoke_conflict("scheduler_internal.jobs")
            text, _ = await reading
    assert text is not None
    assert any(replica.name == entry.get("source") and "conflict" in entry["error"] for entry in said)


async def test_a_replica_that_lacks_a_migration_costs_no_answer(
    topology: Topology, settings: ApiSettings
) -> None:
    """What it has yet to replay, a function or a right, the primary has."""
    database = Database(msgspec.structs.replace(settings, replicas=settings.replicas[:1]))
    (replica,) = database.router.replicas
    async with database.opened():
        await until(lambda: {source.status for source in database.sources} == {"up"})
        topology.replicas[0].pause()
        try:
            with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
                conn.execute("create function public.is_new() returns text return 'yes'")
            value, _ = await database.router.read(b"select public.is_new()", {}, floor=0)
            assert (value, replica.status) == ("yes", "up")
            with pytest.raises(psycopg.errors.UndefinedFunction):
                await database.router.read(b"select public.is_nowhere()", {}, floor=0)
        finally:
            topology.replicas[0].resume()


def test_no_token_of_the_future_hangs(api: RunningApi) -> None:
    """A made-up token asks for what nobody has: the primary answers, at once."""
    answer = api.client().get("/v1/jobs", headers={TOKEN: "7" * 16})
    assert answer.status_code == 200
