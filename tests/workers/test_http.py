"""HTTP jobs against servers that behave, and servers that do not."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import resource
import socket
import time
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.workers.support import Bench, make_execution, run_once
from workers.executions import Outcome
from workers.executors import addresses, http
from workers.executors.http import HttpExecutor
from workers.settings import load_settings

KEY = b"0123456789abcdef0123456789abcdef"
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Sink:
    """A server that notes what it gets and answers what the path says."""

    def __init__(self) -> None:
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self.port = 0
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        kind = request.match_info["kind"]
        if kind.isdecimal():
            return web.Response(status=int(kind), text="said so", headers=self.headers)
        reply = web.StreamResponse(headers=self.headers)
        await reply.prepare(request)
        if kind == "drip":
            while True:
                await reply.write(b".")
                await asyncio.sleep(0.05)
        if kind == "endless":
            while True:
                await reply.write(b"x" * 65_536)
        if kind == "binary":
            await reply.write(bytes(range(256)) * 190)
        if kind == "bomb":
            await reply.write(make_bomb())
        return reply


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    application = web.Application()
    application.router.add_route("*", "/{kind}", sink.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sink.port = runner.addresses[0][1]
    yield sink
    await runner.cleanup()


def make_executor(allow: str = "127.0.0.1", **environ: str) -> HttpExecutor:
    return HttpExecutor(
        load_settings({"DB_WRITE_CONNECTION_STRING": "unused", "PGTICK_HTTP_ALLOW": allow} | environ)
    )


async def call(executor: HttpExecutor, url: str, payload: Any = None, **target: Any) -> Outcome:
    return await run_once(executor, make_execution("http", {"url": url, **target}, payload=payload))


def error(outcome: Outcome) -> dict[str, Any]:
    assert outcome.status == "failed"
    assert outcome.error is not None
    return outcome.error


def result(outcome: Outcome) -> dict[str, Any]:
    assert outcome.result is not None
    document: dict[str, Any] = json.loads(outcome.result)
    return document


async def test_payload_is_posted_as_json(sink: Sink) -> None:
    sink.headers = {"X-Request-ID": "42", "Set-Cookie": "a=b"}
    outcome = await call(make_executor(), f"{sink.url}/200", {"n": "ü"})
    assert outcome.status == "succeeded"
    document = result(outcome)
    assert document["status"] == 200
    assert document["body"] == "said so"
    assert document["headers"]["x-request-id"] == "42"
    assert "set-cookie" not in document["headers"]
    request = sink.requests[0]
    assert request.method == "POST"
    assert request.headers["Content-Type"] == "application/json"
    assert json.loads(sink.bodies[0]) == {"n": "ü"}
    assert "webhook-id" in request.headers
    assert "webhook-signature" not in request.headers


async def test_method_headers_and_body_of_the_target(sink: Sink) -> None:
    executor = make_executor()
    await call(
        executor, f"{sink.url}/200", {"n": 1}, method="PUT", headers={"Content-Type": "text/csv"}, body="a,b"
    )
    assert sink.requests[0].method == "PUT"
    assert sink.requests[0].headers["Content-Type"] == "text/csv"
    assert sink.bodies[0] == b"a,b"
    await call(executor, f"{sink.url}/200", {"n": 1}, method="GET")
    assert sink.bodies[1] == b""


async def test_no_method_is_the_default(sink: Sink) -> None:
    await call(make_executor(), f"{sink.url}/200", {"n": 1}, method=None)
    assert sink.requests[0].method == "POST"
    assert json.loads(sink.bodies[0]) == {"n": 1}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/200?sig=a%2Fb%3D%2b&at=00%3A00&m=%7Ea", "/200?sig=a%2Fb%3D%2b&at=00%3A00&m=%7Ea"),
        ("/200?q=1+%41;x#y", "/200?q=1+%41;x"),
        ("/200?q=ü |%zz", "/200?q=%C3%BC+%7C%25zz"),
    ],
)
async def test_a_url_is_called_as_it_was_written(sink: Sink, written: str, sent: str) -> None:
    """Or a signature over it is wrong; what no URL may hold is quoted."""
    outcome = await call(make_executor(), f"{sink.url}{written}")
    assert outcome.status == "succeeded"
    assert sink.requests[0].raw_path == sent


def test_a_long_url_is_looked_at_in_a_moment() -> None:
    """Else whoever may create jobs halts a worker for longer than its lease."""
    began = time.process_time()
    http._url(f"http://{'a.' * 10_000}/{'b' * 20_000}|")
    assert time.process_time() - began < 3


async def test_signature_is_that_of_standard_webhooks(sink: Sink) -> None:
    second = b"z" * 24
    secrets = f"{SECRET},whsec_{base64.b64encode(second).decode()}"
    execution = make_execution("http", {"url": f"{sink.url}/200"}, payload={"n": 1})
    await run_once(make_executor(PGTICK_WEBHOOK_SECRET=secrets), execution)
    headers = sink.requests[0].headers
    assert headers["webhook-id"] == str(execution.execution_id)
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 5
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + sink.bodies[0]
    expected = [
        "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        for key in (KEY, second)
    ]
    assert headers["webhook-signature"].split(" ") == expected


async def test_the_trace_goes_on(sink: Sink) -> None:
    """From the span that the runner began; where there is none, from whoever enqueued it."""
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await run_once(
        make_executor(), make_execution("http", {"url": f"{sink.url}/200"}, traceparent=traceparent)
    )
    assert sink.requests[0].headers["traceparent"] == traceparent


@pytest.mark.parametrize(
    ("status", "retried"),
    [
        (400, False),
        (404, False),
        (408, True),
        (409, True),
        (410, False),
        (425, True),
        (429, True),
        (500, True),
    ],
)
async def test_status_decides_about_the_retry(sink: Sink, status: int, retried: bool) -> None:
    outcome = await call(make_executor(), f"{sink.url}/{status}")
    assert error(outcome)["message"] == f"HTTP status {status}"
    assert error(outcome).get("retry", True) is retried
    assert result(outcome)["status"] == status


async def test_retry_after_in_seconds_and_as_date(sink: Sink) -> None:
    executor = make_executor()
    sink.headers = {"Retry-After": "17"}
    assert (await call(executor, f"{sink.url}/503")).retry_after == timedelta(seconds=17)
    sink.headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)}
    wait = (await call(executor, f"{sink.url}/503")).retry_after
    assert wait is not None
    assert 55 < wait.total_seconds() <= 60
    sink.headers = {"Retry-After": "999999999999"}
    assert (await call(executor, f"{sink.url}/503")).retry_after == timedelta(days=1)
    sink.headers = {"Retry-After": "soon"}
    assert (await call(executor, f"{sink.url}/503")).retry_after is None


async def test_a_retry_after_that_is_no_time_is_none(sink: Sink) -> None:
    for text in ("soon", "-1", "Wed, 21 Oct 99999999999 07:28:00 GMT", "1e3"):
        sink.headers = {"Retry-After": text}
        assert (await call(make_executor(), f"{sink.url}/503")).retry_after is None, text


async def test_a_retry_after_of_no_wait_leaves_the_backoff(sink: Sink) -> None:
    """Else a server whose clock is behind has all attempts made at once, while it is overloaded."""
    for text in ("0", format_datetime(datetime.now(UTC) - timedelta(seconds=5), usegmt=True)):
        sink.headers = {"Retry-After": text}
        assert (await call(make_executor(), f"{sink.url}/503")).retry_after is None, text


async def test_redirect_is_not_followed(sink: Sink) -> None:
    sink.headers = {"Location": f"{sink.url}/200"}
    outcome = await call(make_executor(), f"{sink.url}/302")
    assert error(outcome)["message"] == "HTTP status 302: redirects are not followed"
    assert error(outcome)["retry"] is False
    assert len(sink.requests) == 1


async def test_proxy_of_the_environment_is_not_used(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert (await call(make_executor(), f"{sink.url}/200")).status == "succeeded"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]",
     "①②⑦.⓪.⓪.①", "localhost.", "0", "[::]", "127.0.0.1%2f", "LOCALHOST"],
)  # fmt: skip
async def test_own_machine_is_refused_however_it_is_spelled(sink: Sink, host: str) -> None:
    outcome = await call(make_executor(allow=""), f"http://{host}:{sink.port}/200")
    # Some spellings are no host at all; what matters is that nothing arrives.
    assert error(outcome)["type"] in ("refused_address", "bad_target", "connection")
    assert sink.requests == []


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.1", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]"])
async def test_private_and_metadata_addresses_are_refused(host: str) -> None:
    outcome = await call(make_executor(), f"http://{host}/latest/meta-data")
    assert error(outcome)["type"] == "refused_address"
    assert error(outcome)["retry"] is False
    assert "PGTICK_HTTP_ALLOW" in error(outcome)["message"]


async def test_allow_list_is_for_its_port_only(sink: Sink) -> None:
    executor = make_executor(allow=f"127.0.0.1:{sink.port},other.example")
    assert (await call(executor, f"{sink.url}/200")).status == "succeeded"
    assert error(await call(executor, f"http://127.0.0.1:{closed_port()}/"))["type"] == "refused_address"


class Rebinding(AbstractResolver):
    """A name server of an attacker: each answer is the next of its list."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=answer, port=port, family=socket.AF_INET, proto=0, flags=0)
            for answer in self.answers.pop(0)
        ]

    async def close(self) -> None: ...


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"]])
async def test_name_that_leads_home_is_refused(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    monkeypatch.setattr(http, "Resolver", lambda: Rebinding(answers))
    outcome = await call(make_executor(allow=""), f"http://evil.example:{sink.port}/200")
    assert error(outcome)["type"] == "refused_address"
    assert sink.requests == []


async def test_one_bad_answer_condemns_all() -> None:
    """Else it would depend on the order of the answers which one is called."""
    guard = addresses.Guard(
        addresses.AllowList([]),
        host="evil.example",
        port=80,
        resolver=Rebinding(["93.184.216.34", "127.0.0.1"]),
    )
    with pytest.raises(addresses.RefusedAddressError):
        await guard.resolve("evil.example", 80)


async def test_name_is_resolved_once(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = Rebinding(["127.0.0.1"], ["169.254.169.254"])
    monkeypatch.setattr(http, "Resolver", lambda: resolver)
    outcome = await call(make_executor(allow="127.0.0.0/8"), f"http://evil.example:{sink.port}/200")
    assert outcome.status == "succeeded"
    assert len(resolver.answers) == 1


@pytest.mark.parametrize(
    "target",
    [
        {"url": "ftp://example.com/"},
        {"url": "http://user:secret@example.com/"},
        {"url": "http://[broken/"},
        {"url": "http://[a:b:c]/"},
        {"url": "http://[::1]@/"},
        {"url": "http:///path"},
        {"url": f"http://{'a' * 64}.example/"},
        {"url": "http://a..example/"},
        {"url": "http://example.com/", "headers": {"Host": "other"}},
        {"url": "http://example.com/", "headers": {"webhook-id": "forged"}},
        {"url": "http://example.com/", "headers": {"X-A": "b\r\nX-C: d"}},
        {"url": "http://example.com/", "headers": {"X-A": "b\x1fd"}},
        {"url": "http://example.com/", "headers": {"Host:other": ""}},
        {"url": "http://example.com/", "headers": {"webhook-id: forged": ""}},
        {"url": "http://example.com/", "headers": {" X-A": "b"}},
        {"url": "http://example.com/", "headers": {"": "b"}},
    ],
)
async def test_bad_target_is_not_retried(target: dict[str, Any]) -> None:
    outcome = await run_once(make_executor(), make_execution("http", target))
    assert error(outcome)["type"] == "bad_target"
    assert error(outcome)["retry"] is False


async def test_refused_connection_is_retried() -> None:
    outcome = await call(make_executor(), f"http://127.0.0.1:{closed_port()}/")
    assert error(outcome)["type"] == "connection"
    assert "retry" not in error(outcome)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"SSH-2.0-x\r\n", "the reply is no HTTP, or broke off: Bad status line: "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok",
            "the reply is no HTTP, or broke off: Not enough data ",
        ),
    ],
)
async def test_a_status_that_no_server_sent_is_not_told(sent: bytes, message: str) -> None:
    """Aiohttp says 400 of what it cannot read."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        outcome = await call(make_executor(), f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert error(outcome)["type"] == "connection"
    assert error(outcome)["message"].startswith(message)
    assert "400" not in error(outcome)["message"]


async def test_endless_reply_is_cut(sink: Sink) -> None:
    outcome = await call(make_executor(), f"{sink.url}/endless")
    assert outcome.status == "succeeded"
    document = result(outcome)
    assert document["truncated"] is True
    assert len(document["body"]) == 49_152
    assert len(outcome.result or "") < 65_536


@pytest.mark.parametrize("charset", ["utf8mb4", "none", "hex", "base64", "punycode", "idna", '""', "latin-1"])
async def test_a_call_that_succeeded_has_whatever_its_reply_is_called(sink: Sink, charset: str) -> None:
    sink.headers = {"Content-Type": f"text/plain; charset={charset}"}
    outcome = await call(make_executor(), f"{sink.url}/binary")
    assert outcome.status == "succeeded"
    assert len((outcome.result or "").encode()) < 65_536
    assert result(outcome)["status"] == 200


async def test_a_long_header_does_not_break_the_connection(sink: Sink) -> None:
    sink.headers = {"Content-Security-Policy": "x" * 60_000, "X-Request-ID": "42"}
    outcome = await call(make_executor(), f"{sink.url}/200")
    assert outcome.status == "succeeded"
    assert result(outcome)["headers"]["x-request-id"] == "42"


async def test_gzip_bomb_does_not_unfold(sink: Sink) -> None:
    sink.headers = {"Content-Encoding": "gzip"}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = await call(make_executor(), f"{sink.url}/bomb")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KB
    assert result(outcome)["truncated"] is True
    assert result(outcome)["body"] == "\ufffd" * 8_192  # six bytes of JSON each
    assert len((outcome.result or "").encode()) < 65_536


async def test_slow_drip_ends_with_the_run(sink: Sink) -> None:
    bench = Bench(make_executor(), make_execution("http", {"url": f"{sink.url}/drip"}))
    while not sink.requests:  # noqa: ASYNC110 - aiohttp's server sets no event
        await asyncio.sleep(0.01)
    begun = time.monotonic()
    await bench.stop("timeout")
    assert time.monotonic() - begun < 5


def closed_port() -> int:
    """Finds a port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def make_bomb() -> bytes:
    """Packs 200 MB of zeros into 200 KB, a piece at a time."""
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    piece = bytes(1_000_000)
    return b"".join(packer.compress(piece) for _ in range(200)) + packer.flush()
