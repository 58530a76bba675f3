"""What every answer of the API has, and what is the same of all routes."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.support.api import CALL_SECONDS, RunningApi

NO_JOB = "/v1/jobs/0195ed8e-4a01-7d42-8f39-2b1c5d6e7f80"


def test_a_request_id_is_given_back(client: httpx.Client) -> None:
    assert client.get("/v1/queues", headers={"X-Request-ID": "r-1"}).headers["x-request-id"] == "r-1"


@pytest.mark.parametrize("wrong", [b"", b"a b", b"x" * 129, b"\xff"])
def test_a_wrong_request_id_is_replaced(client: httpx.Client, wrong: bytes) -> None:
    given = client.get("/v1/queues", headers=[(b"X-Request-ID", wrong)]).headers["x-request-id"]

    assert len(given) == 36


def test_a_problem_tells_its_request(client: httpx.Client) -> None:
    answer = client.get("/v1/nothing", headers={"X-Request-ID": "r-1"})

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "there is nothing at this path",
        "instance": "urn:request:r-1",
        "errors": [{"field": "path", "message": "there is nothing at this path"}],
    }


@pytest.mark.parametrize("path", ["/v1/jobs", "//v1/jobs", "/v1//jobs", "/v1", "/v1/nothing", "///v1"])
def test_nothing_under_v1_is_told_without_a_key(api: RunningApi, path: str) -> None:
    answer = api.client(None).get(api.url + path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="pgtick"'
    assert answer.json()["type"] == "/problems/no-key"


def test_head_is_get_without_the_body(client: httpx.Client) -> None:
    with_body = client.get("/v1/jobs")
    without = client.head("/v1/jobs")

    assert without.status_code == 200
    assert without.content == b""
    assert without.headers["content-length"] == with_body.headers["content-length"]
    assert client.head(NO_JOB).status_code == 404


def test_options_tells_the_methods(client: httpx.Client) -> None:
    answer = client.options(NO_JOB)

    assert answer.status_code == 204
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"


def test_another_method_is_refused(client: httpx.Client) -> None:
    answer = client.post(NO_JOB)

    assert answer.status_code == 405
    assert sorted(answer.headers["allow"].split(", ")) == ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"]
    assert answer.json()["errors"][0]["field"] == "method"


@pytest.mark.parametrize("token", ["", "0", "00000000000000zz", "+000000000000001", "00000000000000001"])
def test_a_consistency_token_that_is_none_is_refused(client: httpx.Client, token: str) -> None:
    answer = client.get("/v1/jobs", headers={"X-Consistency-Token": token})

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "header.X-Consistency-Token"


def test_a_token_of_the_future_is_answered_by_the_primary(client: httpx.Client) -> None:
    assert client.get("/v1/jobs", headers={"X-Consistency-Token": "ffffffffffffffff"}).status_code == 200


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ("limt=1", "limt", "is not known"),
        ("limit=1&limit=2", "limit", "must be given once"),
        ("limit=0", "limit", "Expected `int` >= 1"),
        ("limit=501", "limit", "Expected `int` <= 500"),
        ("limit=1e2", "limit", "must be a whole number"),
        ("limit=", "limit", "must be a whole number"),
        ("paused=1", "paused", "must be true or false"),
        ("job_type=null", "job_type", "must be one of sql, http, python, command"),
        ("queue=a+b", "queue", "must be 1 to 63 of A-Z a-z 0-9 . _ : - that begin with a letter or digit"),
        ("tag=a%00b", "tag", "must not hold a NUL character"),
    ],
)
def test_a_wrong_parameter_is_named(client: httpx.Client, query: str, field: str, message: str) -> None:
    answer = client.get(f"/v1/jobs?{query}")

    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": f"query.{field}", "message": message}]


@pytest.mark.parametrize(
    "time", ["17", "now", "2031-03-05", "2031-03-05T12:00:00", "2031-03-05T12:00:00+01:00"]
)
def test_a_time_needs_its_zone_and_a_plus_its_escape(client: httpx.Client, time: str) -> None:
    answer = client.get(f"/v1/executions?from_time={time}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "query.from_time"
    assert client.get("/v1/executions", params={"from_time": "2031-03-05T12:00:00+01:00"}).status_code == 200


@pytest.mark.parametrize("query", ["tag=%ff", "%ff=1", "tag=%ed%a0%80"])
def test_a_query_that_is_no_utf8_is_refused(client: httpx.Client, query: str) -> None:
    answer = client.get(f"/v1/jobs?{query}")

    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"field": "query", "message": "is no UTF-8"}]


def test_a_query_where_none_is_read_is_refused(client: httpx.Client) -> None:
    assert client.get("/v1/queues?queue=a").json()["hint"] == "there are none"
    assert client.post(f"{NO_JOB}/resume?force=true").status_code == 400


def test_an_id_that_is_none_is_named(client: httpx.Client) -> None:
    answer = client.get("/v1/jobs/nightly-report")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "path.job_id"


@pytest.mark.parametrize("piece", [b"a: b\r\n", b"a"], ids=["many", "one without an end"])
def test_what_follows_a_body_is_bounded(api: RunningApi, piece: bytes) -> None:
    """Nobody waits for trailers, and no key is needed to send them."""
    head = b"POST /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    with socket.create_connection(("127.0.0.1", api.port), timeout=CALL_SECONDS) as line:
        line.sendall(head)
        with pytest.raises(ConnectionError):  # shut by the server
            line.sendall(piece * (100_000_000 // len(piece)))
