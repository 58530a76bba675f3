"""Whatever bytes come over the line: an answer below 500, or none, and at once."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.api import RunningApi

pytestmark = [
    pytest.mark.slow,
    # Its threads are the API's, which has its own use for chance while requests are drawn here.
    pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies"),
]

EXAMPLES = 400
SECONDS = 1.0
PATIENCE_SECONDS = 10.0
LOST = b"00000000-0000-7000-8000-000000000000"
PATHS = (
    b"/v1/jobs",
    b"/v1/jobs/" + LOST,
    b"/v1/jobs/by-name/",
    b"/v1/jobs/" + LOST + b"/pause",
    b"/v1/jobs/" + LOST + b"/trigger",
    b"/v1/jobs/" + LOST + b"/fires",
    b"/v1/executions",
    b"/v1/executions/bulk",
    b"/v1/executions/" + LOST + b"/cancel",
    b"/v1/stats",
    b"/v1/schedules/preview",
    b"/schema",
    b"/problems/",
    b"/health",
    b"/",
)
PARAMETERS = (b"limit", b"cursor", b"status", b"job_id", b"from_time", b"error_contains", b"tag", b"step")
HEADERS = (
    b"Content-Type",
    b"Idempotency-Key",
    b"If-Match",
    b"If-None-Match",
    b"X-Consistency-Token",
    b"X-Request-ID",
    b"X-Forwarded-For",
    b"traceparent",
    b"Accept",
    b"Cache-Control",
    b"Transfer-Encoding",
    b"Expect",
    b"Range",
)
BODIES = (
    b'{"name":"a","job_type":"http","target":{"url":"http://x"},"schedule":"%s"}',
    b'{"job_type":"python","target":"x","payload":%s}',
    b'{"items":[{"job_type":"python","target":"x","payload":%s}]}',
    b'{"schedule":"%s","n":5}',
    b"%s",
)
NASTY = (
    b"\x00",
    b"\\u0000",
    b"\\ud800",
    b"\xff\xfe",
    b"1e400",
    b"-0",
    b"9" * 400,
    b"[" * 5_000,
    b'{"a":' * 5_000,
    b'{"a":1,"a":2}',
    b"null",
    b"'; drop table x; --",
    b"%s%n",
    b"../../etc",
    b"%00%ff%2e",
    "ﷺ\u202e".encode(),
)

anything = st.one_of(st.sampled_from(NASTY), st.binary(max_size=60))
in_a_line = anything.map(lambda b: b.replace(b"\r", b"").replace(b"\n", b""))
in_a_target = in_a_line.map(lambda b: b.replace(b" ", b"%20")[:2_000])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Draws a request that is nearly one of ours: each part may be anything."""
    method = draw(
        st.sampled_from((b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"HEAD", b"OPTIONS", b"BREW"))
    )
    target = draw(st.sampled_from(PATHS)) + draw(st.one_of(st.just(b""), in_a_target))
    query = [
        draw(st.sampled_from(PARAMETERS)) + b"=" + draw(in_a_target) for _ in range(draw(st.integers(0, 3)))
    ]
    if query:
        target += b"?" + b"&".join(query)
    body = draw(st.sampled_from(BODIES)).replace(b"%s", draw(anything))
    headers = [(b"Host", b"localhost"), (b"Connection", b"close"), (b"Authorization", b"Bearer KEY")]
    headers.append((b"Content-Length", str(len(body) + draw(st.sampled_from((0, 0, 0, 0, 7)))).encode()))
    for _ in range(draw(st.integers(0, 3))):
        headers.append((draw(st.sampled_from(HEADERS)), draw(in_a_line)))  # noqa: PERF401 - each is drawn
    if draw(st.booleans()):
        headers.append((b"Content-Type", b"application/json"))
    lines = [method + b" " + target + b" HTTP/1.1", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(port: int, sent: bytes) -> bytes:
    """Sends bytes, says that no more follow, and returns all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as line:
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        received = b""
        try:
            while piece := line.recv(65_536):
                received += piece
        except ConnectionResetError:
            pass
        return received


def check(api: RunningApi, sent: bytes) -> None:
    """Fails where the answer is a fault of ours, or was long in coming."""
    began = time.monotonic()
    received = exchange(api.port, sent.replace(b"Bearer KEY", f"Bearer {api.keys['admin']}".encode()))
    took = time.monotonic() - began
    for answer in received.split(b"HTTP/1.1 ")[1:2]:
        status = int(answer[:3])
        assert 200 <= status < 500, (sent, received)
        if status >= 400:
            assert b"content-type: application/problem+json" in answer.lower(), (sent, received)
    assert took < SECONDS, (took, sent)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(sent=requests())
@example(
    sent=b"POST /v1/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\nContent-Length: 5\r\n\r\n{}"
)
@example(sent=b"GET /v1/jobs/by-name/%ed%a0%80 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer KEY\r\n\r\n")
def test_what_is_nearly_a_request(api: RunningApi, sent: bytes) -> None:
    check(api, sent)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(sent=st.binary(min_size=1, max_size=2_000))
def test_what_is_no_request_at_all(api: RunningApi, sent: bytes) -> None:
    check(api, sent)


@pytest.mark.parametrize("size", [999_999, 1_000_000, 1_000_001, 1_100_000])
def test_a_body_around_the_bound(api: RunningApi, size: int) -> None:
    """Up to a million bytes it is read, and refused for what it says; beyond that for its size."""
    head = b'{"job_type":"python","target":"x","payload":"'
    body = head + b"x" * (size - len(head) - 2) + b'"}'
    answer = api.client().post("/v1/executions", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == (413 if size > 1_000_000 else 201), answer.text[:300]
