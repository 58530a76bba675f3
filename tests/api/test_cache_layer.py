"""The layer in front of an application that reads from a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal
from uuid import uuid4

import msgspec
import psycopg
import pytest
from litestar.types import Message, Receive, Scope, Send
from psycopg import AsyncConnection, Connection

from app.api import cache_rules
from app.api.cache import Cache
from app.api.cache_layer import MAX_BODY_BYTES, MAX_QUERY_BYTES, CacheLayer
from app.api.context import KEY, Context, Key, context_of
from tests.api.test_cache import until
from tests.support.server import Server

JOB = "0197a0b4-6c3e-7abc-8def-00112233445f"
PATH = f"/v1/jobs/{JOB}"
TAG = f"job:{JOB}"
JSON = (b"content-type", b"application/json")
READ = frozenset({"read"})


class Reply(msgspec.Struct):
    """What a client gets."""

    status: int
    headers: dict[str, str]
    body: bytes
    context: Context
    chunks: list[bytes]

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    @property
    def cache(self) -> str | None:
        """What the cache says it did."""
        return self.headers.get("x-cache")


class Application:
    """Answers every path with a text in the database, after it saw the LSN; as a handler would."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self.scopes: list[Any] = []
        self.headers: list[tuple[bytes, bytes]] = [JSON]
        self.status = 200
        self.lacks_lsn = False
        self.error: Exception | None = None
        self.gated: Literal["before", "after"] | None = None
        """Where it waits: before or after it reads the data, and always after it saw the LSN."""
        self.gates: list[asyncio.Event] = []
        """One for each call that waits."""
        self.body: Callable[[str], Sequence[bytes]] = lambda text: [text.encode()]

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self.scopes)

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Answers."""
        self.scopes.append(scope)
        scope["path_template"] = "/v1/jobs/{job_id}"
        async with await AsyncConnection.connect(self._conninfo, autocommit=True) as conn:
            lsn = await read(conn, "select (pg_current_wal_insert_lsn() - '0/0')::bigint")
            if self.gated == "before":
                await self._wait()
            text = await read(conn, "select text from texts")
            if self.gated == "after":
                await self._wait()
        if self.error is not None:
            raise self.error
        if not self.lacks_lsn:
            context_of(scope).lsn = lsn
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        chunks = self.body(text)
        for number, chunk in enumerate(chunks, start=1):
            more = number < len(chunks)
            await send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _wait(self) -> None:
        gate = asyncio.Event()
        self.gates.append(gate)
        await gate.wait()


async def read(conn: AsyncConnection[Any], query: str) -> Any:
    """Returns the one value of a query."""
    row = await (await conn.execute(query)).fetchone()
    assert row is not None
    return row[0]


async def ask(
    layer: CacheLayer,
    path: str = PATH,
    query: str = "",
    *,
    method: str = "GET",
    scopes: frozenset[str] | None = READ,
    token: int = 0,
    **headers: str,
) -> Reply:
    """Sends a request as the layers further out pass it on."""
    key = Key(uuid4(), "a key", scopes) if scopes is not None else None
    context = Context(request_id="r", key=key, floor=token)
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope: Any = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": sent,
        "state": {KEY: context},
    }
    start: dict[str, Any] = {}
    chunks: list[bytes] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        elif message["type"] == "http.response.body":
            chunks.append(message["body"])

    await layer(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(found) == len(start["headers"]), "each header once"
    return Reply(start["status"], found, b"".join(chunks), context, chunks)


@pytest.fixture(scope="module")
def conninfo(server: Server) -> Iterator[str]:
    """A database for all tests here, past any pooler."""
    name = server.create_database()
    yield server.conninfo(name)
    server.drop_database(name)


@pytest.fixture
def texts(conninfo: str) -> Iterator[Connection[Any]]:
    """A connection to a database with one text in it."""
    with psycopg.connect(conninfo, autocommit=True) as db:
        db.execute("drop table if exists texts")
        make_table(db)
        yield db


def make_table(db: Connection[Any]) -> None:
    """Makes the table with its first text."""
    db.execute("create table texts (text text)")
    db.execute("insert into texts values ('first')")


def change(db: Connection[Any], text: str) -> int:
    """Commits another text, and returns the LSN after that."""
    db.execute("update texts set text = %s", [text])
    return newest(db)


def newest(db: Connection[Any]) -> int:
    """Returns the LSN of now."""
    row = db.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
    assert row is not None
    lsn: int = row[0]
    return lsn


def write_something(db: Connection[Any]) -> None:
    """Has the log go on, so that what is read next is certain to include what came before."""
    db.execute("select pg_logical_emit_message(true, 'test', '')")


@pytest.fixture
def application(conninfo: str, texts: Connection[Any]) -> Application:
    """The application."""
    return Application(conninfo)


@pytest.fixture
async def cache() -> AsyncIterator[Cache]:
    """A cache of this process alone."""
    cache = Cache()
    yield cache
    await cache.close()


@pytest.fixture
def layer(application: Application, cache: Cache) -> CacheLayer:
    """The layer in front of the application."""
    return CacheLayer(application, cache)


async def test_a_hit_says_what_it_is(layer: CacheLayer, application: Application) -> None:
    miss = await ask(layer)
    hit = await ask(layer)
    assert application.calls == 1
    assert (miss.status, miss.text, miss.cache) == (200, "first", "miss")
    assert (hit.status, hit.text, hit.cache) == (200, "first", "hit")
    for reply in (miss, hit):
        assert reply.headers["content-type"] == "application/json"
        assert reply.headers["content-length"] == "5"
        assert reply.headers["cache-control"] == "private, no-cache"
        assert reply.headers["age"] == "0"
        assert reply.context.cache == reply.cache
        assert reply.context.route == "/v1/jobs/{job_id}"
    assert hit.headers["etag"] == miss.headers["etag"] != ""
    assert hit.context.lsn == miss.context.lsn is not None


async def test_age(application: Application) -> None:
    now = 1_000.0
    cache = Cache(clock=lambda: now, chance=lambda: 0.0)
    layer = CacheLayer(application, cache)
    await ask(layer)
    now += 1.2
    assert (await ask(layer)).headers["age"] == "1"


@pytest.mark.parametrize("given", ["{etag}", "*", "W/{etag}", '"another", {etag}', '"another",W/{etag} '])
async def test_what_is_known_is_not_sent_again(layer: CacheLayer, given: str) -> None:
    first = await ask(layer)
    reply = await ask(layer, if_none_match=given.replace("{etag}", first.headers["etag"]))
    assert (reply.status, reply.body) == (304, b"")
    assert reply.headers["etag"] == first.headers["etag"]
    assert reply.headers["x-cache"] == "hit"
    assert "content-length" not in reply.headers
    assert "content-type" not in reply.headers


async def test_what_has_changed_is_sent(
    layer: CacheLayer, cache: Cache, texts: Connection[Any], application: Application
) -> None:
    """The application sees nothing of conditions: what it says goes to others, too."""
    first = await ask(layer, if_none_match='"another"')
    assert first.status == 200
    cache.floors.raise_floor(TAG, change(texts, "second"))
    known = first.headers["etag"]
    reply = await ask(layer, if_none_match=known, accept_encoding="gzip", range="bytes=0-1", accept="*/*")
    assert (reply.status, reply.text, reply.cache) == (200, "second", "miss")
    assert reply.headers["etag"] != known
    assert [name for name, _ in application.scopes[-1]["headers"]] == [b"accept"]


async def test_the_etag_of_a_handler_is_kept(layer: CacheLayer, application: Application) -> None:
    application.headers.append((b"ETag", b'"7.abc"'))
    assert (await ask(layer)).headers["etag"] == '"7.abc"'
    assert (await ask(layer, if_none_match='"7.abc"')).status == 304


async def test_head_has_no_body(layer: CacheLayer, application: Application) -> None:
    """A HEAD is as good as a GET to fill the cache, and answered from it."""
    for expected in ("miss", "hit"):
        reply = await ask(layer, method="HEAD")
        assert (reply.status, reply.body, reply.cache) == (200, b"", expected)
        assert reply.headers["content-length"] == "5"
    assert (await ask(layer)).text == "first"
    assert [scope["method"] for scope in application.scopes] == ["GET"]
    application.status = 404
    reply = await ask(layer, method="HEAD", path="/v1/jobs")
    assert (reply.status, reply.body) == (404, b"")


async def test_keys_share_only_with_their_equals(layer: CacheLayer, application: Application) -> None:
    kinds = [READ, frozenset({"admin"}), frozenset({"read", "enqueue"}), frozenset[str](), None]
    for calls, scopes in enumerate(kinds, start=1):
        assert (await ask(layer, scopes=scopes)).cache == "miss"
        assert (await ask(layer, scopes=scopes)).cache == "hit"
        assert application.calls == calls


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a=1&b=2", "b=2&a=1"),
        ("tag=x&limit=5&tag=y", "limit=5&tag=x&tag=y"),
        ("%61=2&b=1&a=1", "b=1&%61=2&a=1"),
    ],
)
async def test_the_order_of_parameters_does_not_matter(layer: CacheLayer, one: str, other: str) -> None:
    await ask(layer, "/v1/jobs", one)
    assert (await ask(layer, "/v1/jobs", other)).cache == "hit"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tag=x&tag=y", "tag=y&tag=x"),
        ("tag=x&%74ag=y", "%74ag=y&tag=x"),
        ("a+b=1&a%20b=2", "a%20b=2&a+b=1"),
        ("a=%ff", "a=%fe"),
        ("a=1", "a=1&"),
        ("a=1&b=2", "a=1%26b=2"),
        ("a=+", "a=%2B"),
        ("", "a="),
        ("limit=5", "limit=05"),
    ],
)
async def test_what_may_differ_is_kept_apart(layer: CacheLayer, one: str, other: str) -> None:
    await ask(layer, "/v1/jobs", one)
    assert (await ask(layer, "/v1/jobs", other)).cache == "miss"
    assert (await ask(layer, "/v1/jobs", one)).cache == "hit"


async def test_paths_are_kept_apart(layer: CacheLayer) -> None:
    another = JOB.replace("5f", "60")
    paths = [PATH, f"/v1/jobs/{another}", f"{PATH}/executions", f"{PATH}/fires", "/v1/jobs", "/v1/executions"]
    paths += ["/v1/queues", "/v1/workers", "/v1/stats", f"/v1/executions/{JOB}", f"{PATH}/preview"]
    for path in paths:
        assert (await ask(layer, path)).cache == "miss"
    for path in paths:
        assert (await ask(layer, path)).cache == "hit"


async def test_an_id_is_the_same_in_capitals(layer: CacheLayer, cache: Cache, texts: Connection[Any]) -> None:
    """Else a change, which names it in lower case, would be missed."""
    await ask(layer, PATH.replace(JOB, JOB.upper()))
    assert (await ask(layer)).cache == "hit"
    cache.floors.raise_floor(TAG, change(texts, "second"))
    assert (await ask(layer, PATH.replace(JOB, JOB.upper()))).text == "second"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/",
        "/v1/jobs//executions",
        "/v1/jobs/by-name/x",
        f"/v1/jobs/{JOB[:-1]}",
        f"/v1/jobs/{JOB}0",
        f"/v1/jobs/{JOB}\n",
        f"/v1/jobs/{JOB.replace('-', '', 1)}",
        f"{PATH}/executions/",
        f"{PATH}/executions/x",
        f"{PATH}/pause",
        "/v2/jobs",
        "/v1/keys",
        "/v1/audit",
        "/v1/events",
        "/health",
        "/",
        "",
    ],
)
async def test_what_no_rule_names_passes_through(
    layer: CacheLayer, application: Application, path: str
) -> None:
    for calls in (1, 2):
        reply = await ask(layer, path)
        assert (reply.text, reply.cache, reply.context.cache) == ("first", None, None)
        assert application.calls == calls


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_pass_through(layer: CacheLayer, application: Application, method: str) -> None:
    await ask(layer)
    for _ in range(2):
        assert (await ask(layer, method=method)).context.cache is None
    assert application.calls == 3


@pytest.mark.parametrize("status", [201, 204, 206, 302, 400, 403, 404, 500, 503])
async def test_only_200_is_kept(layer: CacheLayer, application: Application, status: int) -> None:
    application.status = status
    for calls in (1, 2):
        reply = await ask(layer)
        assert (reply.status, reply.text, reply.context.cache) == (status, "first", "miss")
        assert reply.context.route == "/v1/jobs/{job_id}"
        assert application.calls == calls


@pytest.mark.parametrize(
    "header",
    [
        (b"Set-Cookie", b"a=b"),
        (b"vary", b"accept"),
        (b"content-encoding", b"gzip"),
        (b"cache-control", b"no-store"),
        (b"content-type", b"text/event-stream; charset=utf-8"),
    ],
)
async def test_what_is_for_one_is_not_kept(
    layer: CacheLayer, application: Application, header: tuple[bytes, bytes]
) -> None:
    application.headers = [header]
    for calls in (1, 2):
        reply = await ask(layer)
        assert reply.headers[header[0].decode()] == header[1].decode()
        assert application.calls == calls


async def test_without_an_lsn_nothing_is_kept(layer: CacheLayer, application: Application) -> None:
    application.lacks_lsn = True
    for calls in (1, 2):
        assert (await ask(layer)).text == "first"
        assert application.calls == calls


async def test_a_long_query_is_not_kept(layer: CacheLayer, application: Application) -> None:
    for calls in (1, 2):
        await ask(layer, "/v1/jobs", "a" * (MAX_QUERY_BYTES + 1))
        assert application.calls == calls


async def test_chunks_are_put_together(layer: CacheLayer, application: Application) -> None:
    application.body = lambda text: [text.encode(), b"-", b"", b"more"]
    assert (await ask(layer)).text == "first-more"
    hit = await ask(layer)
    assert (hit.text, hit.cache, hit.headers["content-length"]) == ("first-more", "hit", "10")


async def test_what_is_too_large_passes_through(layer: CacheLayer, application: Application) -> None:
    half = b"x" * (MAX_BODY_BYTES // 2)
    application.body = lambda _: [half, half, b"x", b"more"]
    for calls in (1, 2):
        reply = await ask(layer)
        assert reply.chunks == [half, half, b"x", b"more"]
        assert application.calls == calls
    application.body = lambda _: [half, half]
    await ask(layer)
    assert (await ask(layer)).body == half + half
    assert application.calls == 3


async def test_a_bypass_loads_and_keeps(
    layer: CacheLayer, application: Application, texts: Connection[Any]
) -> None:
    await ask(layer)
    change(texts, "second")
    assert (await ask(layer)).text == "first", "nobody has said that it changed"
    reply = await ask(layer, cache_control="max-age=0, no-cache")
    assert (reply.text, reply.cache, reply.context.cache) == ("second", "bypass", "bypass")
    assert (await ask(layer)).text == "second"


async def test_writers_read_what_they_wrote(layer: CacheLayer, texts: Connection[Any]) -> None:
    """By the token alone, many times in a row, while another client keeps filling the cache."""
    going = True

    async def fill() -> None:
        while going:
            await ask(layer, cache_control="no-cache")

    filling = asyncio.create_task(fill())
    for number in range(30):
        token = await asyncio.to_thread(change, texts, f"text {number}")
        reply = await ask(layer, token=token)
        assert reply.text == f"text {number}"
        assert reply.context.lsn is not None
        assert reply.context.lsn >= token
    going = False
    await filling


async def test_a_token_of_a_read_is_good_for_a_hit(layer: CacheLayer, texts: Connection[Any]) -> None:
    """A client that hands back the newest token it was given does not go past the cache for it."""
    first = await ask(layer)
    assert first.context.lsn is not None
    assert (await ask(layer, token=first.context.lsn)).cache == "hit"


async def test_a_token_from_nowhere_harms_only_itself(
    layer: CacheLayer, cache: Cache, texts: Connection[Any]
) -> None:
    """What was loaded for it does not look newer than it is."""
    await ask(layer, token=2**64 - 1)
    cache.floors.raise_floor(TAG, change(texts, "second"))
    assert (await ask(layer)).text == "second"


async def test_a_fill_that_a_change_overtook(
    layer: CacheLayer, application: Application, cache: Cache, texts: Connection[Any]
) -> None:
    """It has read; then comes the change, and is known; then the fill ends."""
    application.gated = "after"
    filling = asyncio.create_task(ask(layer))
    await until(lambda: bool(application.gates))
    cache.floors.raise_floor(TAG, change(texts, "second"))
    application.gates[0].set()
    assert (await filling).text == "first", "which was right when it was asked for"
    application.gated = None
    reply = await ask(layer)
    assert (reply.text, reply.cache) == ("second", "miss")


async def test_after_a_change_it_is_kept_again(
    layer: CacheLayer, cache: Cache, texts: Connection[Any]
) -> None:
    """As soon as the log has gone on, which whoever raises the floor sees to."""
    cache.floors.raise_floor(TAG, change(texts, "second"))
    write_something(texts)
    assert [(await ask(layer)).cache for _ in range(3)] == ["miss", "hit", "hit"]


async def test_a_stampede_is_one_call(layer: CacheLayer, application: Application) -> None:
    application.gated = "before"
    asked = [asyncio.create_task(ask(layer)) for _ in range(200)]
    await until(lambda: bool(application.gates))
    application.gates[0].set()
    replies = await asyncio.gather(*asked)
    assert {reply.text for reply in replies} == {"first"}
    assert sorted(reply.cache or "" for reply in replies) == ["hit"] * 199 + ["miss"]
    assert {reply.context.route for reply in replies} == {"/v1/jobs/{job_id}"}
    assert application.calls == 1


@pytest.mark.parametrize("fails", ["answers 503", "raises"])
async def test_each_has_errors_of_its_own(layer: CacheLayer, application: Application, fails: str) -> None:
    """A problem bears the id of its request, so nobody is given another's."""
    application.gated = "before"
    leader = asyncio.create_task(ask(layer))
    await until(lambda: len(application.gates) == 1)
    followers = [asyncio.create_task(ask(layer)) for _ in range(5)]
    await asyncio.sleep(0)
    if fails == "raises":
        application.error = ConnectionError("gone")
    application.status = 503
    application.gates[0].set()
    if fails == "raises":
        with pytest.raises(ConnectionError):
            await leader
    else:
        assert (await leader).status == 503
    await until(lambda: len(application.gates) == 6)
    application.error, application.status = None, 200
    for gate in application.gates:
        gate.set()
    replies = await asyncio.gather(*followers)
    assert {(reply.status, reply.text, reply.cache) for reply in replies} == {(200, "first", "miss")}


async def test_a_stream_is_not_waited_for(layer: CacheLayer, application: Application) -> None:
    """As soon as it shows that it is none to share, those who wait go themselves."""
    application.headers = [(b"content-type", b"text/event-stream")]
    more = asyncio.Event()

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        await application(scope, receive, send)
        await more.wait()

    layer = CacheLayer(stream, Cache())
    first = asyncio.create_task(ask(layer))
    second = asyncio.create_task(ask(layer))
    await until(lambda: application.calls == 2)
    more.set()
    await asyncio.gather(first, second)


async def test_near_its_end_it_is_renewed(application: Application, texts: Connection[Any]) -> None:
    """By one call behind the scenes, with a context of its own."""
    now = 1_000.0
    cache = Cache(clock=lambda: now, chance=lambda: 1.0)
    layer = CacheLayer(application, cache)
    first = await ask(layer)
    change(texts, "second")
    application.gated = "before"
    now += 1.5
    replies = [await ask(layer) for _ in range(10)]
    assert [reply.text for reply in replies] == ["first"] * 10
    assert [reply.cache for reply in replies] == ["stale"] + ["hit"] * 9
    await until(lambda: len(application.gates) == 1)
    application.gates[0].set()
    await until(lambda: not cache.busy)
    reply = await ask(layer)
    assert (reply.text, reply.cache, application.calls) == ("second", "hit", 2)
    assert replies[0].context.lsn == first.context.lsn
    assert context_of(application.scopes[-1]) is not replies[0].context


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (b'{"status": "running", "result": {"status": "failed"}}', cache_rules.EXECUTION_SECONDS),
        (b'{"execution_id": "x", "status": "failed"}', cache_rules.ENDED_SECONDS),
        (b"{", cache_rules.EXECUTION_SECONDS),
    ],
)
async def test_what_has_ended_is_kept_longer(application: Application, body: bytes, seconds: float) -> None:
    now = 1_000.0
    cache = Cache(clock=lambda: now, chance=lambda: 0.0)
    layer = CacheLayer(application, cache)
    application.body = lambda _: [body]
    path = f"/v1/executions/{JOB}"
    await ask(layer, path)
    now += 0.99 * seconds
    assert (await ask(layer, path)).cache in ("hit", "stale")
    await until(lambda: not cache.busy)
    now += 1.01 * seconds
    assert (await ask(layer, path)).cache == "miss"


@pytest.fixture
def own_server(server_folder: Any) -> Iterator[Server]:
    """A server of the test's own: what it is told would stop all others' commits."""
    server = Server.start(server_folder, origin=None)
    yield server
    server.stop()


async def test_a_commit_that_nobody_sees_yet(own_server: Server) -> None:
    """A commit is in the log, and waits for a standby that is not there: nobody sees it.

    What is read now sees the LSN of the log's end, which includes the commit, and data that does not. Once
    the commit can be seen, the writer's token is that very LSN: the read must not pass for one that includes
    it.
    """
    name = own_server.create_database()
    conninfo = own_server.conninfo(name)
    application = Application(conninfo)
    layer = CacheLayer(application, Cache())
    with (
        psycopg.connect(conninfo, autocommit=True) as db,
        psycopg.connect(conninfo, autocommit=True) as writer,
    ):
        db.execute("create table texts (text text)")
        db.execute("insert into texts values ('first')")
        db.execute("alter system set synchronous_standby_names = 'nobody'")
        db.execute("select pg_reload_conf()")
        pid = writer.info.backend_pid
        same = False
        for number in range(100):
            text = f"text {number}"
            writing = asyncio.create_task(asyncio.to_thread(change_in_vain, writer, text))
            if not await has_to_wait(writing, db, pid):  # the setting is not in force yet
                continue
            before = newest(db)
            assert (await ask(layer, cache_control="no-cache")).text != text
            db.execute("select pg_cancel_backend(%s)", [pid])
            token = await writing
            assert (await ask(layer, token=token)).text == text
            if same := token == before:
                break
        assert same, "the log went on each time: nothing was shown"


def change_in_vain(writer: Connection[Any], text: str) -> int:
    """Changes the text; when the wait for the standby is cancelled, the commit stands and can be seen."""
    writer.execute("set synchronous_commit = on")
    return change(writer, text)


async def has_to_wait(writing: asyncio.Task[int], db: Connection[Any], pid: int) -> bool:
    """Tells, as soon as it is known, whether a commit waits for a standby to have it."""
    query = "select wait_event from pg_stat_activity where pid = %s"
    await until(lambda: writing.done() or db.execute(query, [pid]).fetchone() == ("SyncRep",))
    return not writing.done()
