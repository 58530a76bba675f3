"""Jobs over HTTP: made, replaced, changed, listed; nobody's change is lost, nothing is done twice."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest
from psycopg import Connection

from app.api.examples import REQUESTS

HTTP = {"job_type": "http", "target": {"url": "http://example.com/"}}


def make(client: httpx.Client, name: str = "j", **more: Any) -> httpx.Response:
    answer = client.post("/v1/jobs", json={"name": name, **HTTP, **more})
    assert answer.status_code == 201, answer.text
    return answer


def test_a_job_is_made_and_shown(client: httpx.Client) -> None:
    made = make(client, schedule="@daily", tags=["a"])

    assert made.headers["location"] == f"/v1/jobs/{made.json()['job_id']}"
    shown = client.get(made.headers["location"])
    assert shown.json() == made.json()
    assert shown.headers["etag"] == made.headers["etag"]


@pytest.mark.parametrize("example", REQUESTS[next(k for k in REQUESTS if k.__name__ == "NewJob")].values())
def test_the_examples_are_taken(client: httpx.Client, example: dict[str, Any]) -> None:
    assert client.post("/v1/jobs", json=example).status_code == 201


def test_a_name_is_taken_once(client: httpx.Client) -> None:
    make(client)

    again = client.post("/v1/jobs", json={"name": "j", **HTTP})
    assert again.status_code == 409
    assert again.json()["type"] == "/problems/already-exists"


@pytest.mark.parametrize("name", ["a/b", "a b", "ü", "a//b/", "100%", "?#"])
def test_any_name_can_stand_in_the_path(client: httpx.Client, name: str) -> None:
    path = "/v1/jobs/by-name/" + "".join(f"%{byte:02X}" for byte in name.encode())

    assert client.put(path, json=HTTP).json()["name"] == name


def test_a_slash_at_the_end_of_a_path_counts_for_nothing(client: httpx.Client) -> None:
    assert client.put("/v1/jobs/by-name/gg/", json=HTTP).json()["name"] == "gg"
    assert client.put("/v1/jobs//by-name/gg%2F/", json=HTTP).json()["name"] == "gg/"

    key = {"Idempotency-Key": "k"}
    first = client.post("/v1/executions", json=HTTP, headers=key)
    again = client.post("/v1/executions/", json=HTTP, headers=key)

    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


def test_a_name_that_is_refused_is_blamed_where_it_stands(client: httpx.Client) -> None:
    by_name = client.put("/v1/jobs/by-name/%20x", json=HTTP)
    made = client.post("/v1/jobs", json={"name": " x", **HTTP})

    assert by_name.status_code == made.status_code == 422
    assert by_name.json()["errors"][0]["field"] == "path.name"
    assert made.json()["errors"][0]["field"] == "body.name"


def test_of_two_changes_of_one_version_one_is_refused(client: httpx.Client) -> None:
    made = make(client)
    path, etag = made.headers["location"], {"If-Match": made.headers["etag"]}

    assert client.patch(path, json={"priority": 1}, headers=etag).status_code == 200
    for second in (
        client.patch(path, json={"priority": 2}, headers=etag),
        client.put(path, json=HTTP, headers=etag),
        client.put("/v1/jobs/by-name/j", json=HTTP, headers=etag),
        client.delete(path, headers=etag),
    ):
        assert second.status_code == 412
        assert second.json()["errors"][0]["field"] == "header.If-Match"
    assert client.get(path).json()["priority"] == 1
    assert client.delete(path, headers={"If-Match": "*"}).status_code == 204
    assert client.get(path).status_code == 404


def test_an_etag_is_what_was_given_and_nothing_like_it(client: httpx.Client) -> None:
    made = make(client)
    path, etag = made.headers["location"], made.headers["etag"]
    version = etag.strip('"').partition(".")[0]

    for other, status in (
        (f"{version}.5", 400),
        (f"{etag}x", 400),
        (f"{etag},", 400),
        ('"', 400),
        (f'"{version}.abc"', 412),
        (f'"x {version}"', 400),
        ('"of-something-else"', 412),
        ('"a", W/"b"', 412),
        (f'{etag}, "2"', 412),
    ):
        refused = client.patch(path, json={"priority": 1}, headers={"If-Match": other})
        assert refused.status_code == status, other
        assert refused.json()["errors"][0]["field"] == "header.If-Match"
    unknown = client.put("/v1/jobs/by-name/unknown", json=HTTP, headers={"If-Match": '"foreign"'})
    assert unknown.status_code == 412
    for same in (etag, f"W/{etag}", version, f'"{version}"', f'"foreign" , {etag}'):
        assert client.patch(path, json={"priority": 0}, headers={"If-Match": same}).status_code == 200, same


def test_any_version_is_one_that_there_is(client: httpx.Client) -> None:
    there_is_one = {"If-Match": "*"}

    refused = client.put("/v1/jobs/by-name/j", json=HTTP, headers=there_is_one)
    assert refused.status_code == 412
    assert refused.json()["errors"][0]["field"] == "header.If-Match"
    make(client)
    assert client.put("/v1/jobs/by-name/j", json=HTTP, headers=there_is_one).status_code == 200


def test_a_condition_that_is_not_looked_at_is_refused(client: httpx.Client) -> None:
    path = make(client).headers["location"]
    none, some = {"If-None-Match": "*"}, {"If-Match": "*"}

    for refused, field in (
        (client.put("/v1/jobs/by-name/j", json=HTTP | {"priority": 1}, headers=none), "If-None-Match"),
        (client.patch(path, json={"priority": 1}, headers=none), "If-None-Match"),
        (client.delete(path, headers=none), "If-None-Match"),
        (client.post(f"{path}/pause", headers=some), "If-Match"),
    ):
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["field"] == f"header.{field}"
        assert refused.json()["hint"]
    assert client.get(path).json()["priority"] == 0
    assert client.get(path, headers=none).status_code == 304


def test_pages_neither_repeat_nor_hide_what_was_there(client: httpx.Client) -> None:
    names = [f"n{i:02d}" for i in range(20)]
    for name in names:
        make(client, name)
    seen, cursor = [], None
    while True:
        page = client.get("/v1/jobs", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        seen += [job["name"] for job in page["items"]]
        make(client, f"a{len(seen)}")  # before all
        make(client, f"{page['items'][-1]['name']}-")  # just after
        if (cursor := page["next_cursor"]) is None or len(seen) > 60:
            break
    assert [name for name in seen if name in names] == names
    assert len(seen) == len(set(seen))


def test_filters_hold(client: httpx.Client) -> None:
    make(client, "one", queue="q", tags=["t"])
    paused = make(client, "two").headers["location"]
    client.post(f"{paused}/pause", json={"reason": "rest"})

    def names(**query: Any) -> list[str]:
        return [job["name"] for job in client.get("/v1/jobs", params=query).json()["items"]]

    assert names(queue="q") == names(tag="t") == names(name_prefix="on") == names(paused="false") == ["one"]
    assert names(paused="true") == ["two"]
    assert names(job_type="sql") == []


def test_the_same_request_again_is_answered_and_not_done(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}
    first = client.post("/v1/executions", json=HTTP, headers=key)
    again = client.post("/v1/executions", json=HTTP, headers=key)
    other = client.post("/v1/executions", json={**HTTP, "priority": 1}, headers=key)

    assert first.status_code == again.status_code == 201
    assert again.json()["execution_id"] == first.json()["execution_id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert other.json()["errors"][0]["field"] == "header.Idempotency-Key"


def test_what_is_sent_again_with_a_rotated_key_is_not_done(client: httpx.Client, db: Connection[Any]) -> None:
    rotate = """
        select r.api_key from scheduler.api_keys k, scheduler.rotate_api_key(k.key_id) r
        where k.name = 'admin' and k.replaced_by is null
    """
    first = client.post("/v1/executions", json=HTTP, headers={"Idempotency-Key": "k"})
    for _ in range(2):
        row = db.execute(rotate).fetchone()
        assert row is not None
        headers = {"Idempotency-Key": "k", "Authorization": f"Bearer {row[0]}"}
        again = client.post("/v1/executions", json=HTTP, headers=headers)
        assert again.json()["execution_id"] == first.json()["execution_id"]


def test_two_at_once_with_one_key_make_one(client: httpx.Client) -> None:
    answers: list[httpx.Response] = []

    def send() -> None:
        answers.append(client.post("/v1/executions", json=HTTP, headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(client.get("/v1/executions").json()["items"]) == 1


def test_a_refused_request_leaves_its_key_free(client: httpx.Client) -> None:
    key = {"Idempotency-Key": "k"}

    assert (
        client.post("/v1/jobs", json={"name": "j", **HTTP, "schedule": "x"}, headers=key).status_code == 422
    )
    assert client.post("/v1/jobs", json={"name": "j", **HTTP}, headers=key).status_code == 201


def test_thousands_are_enqueued_at_once_or_not_at_all(client: httpx.Client, db: Connection[Any]) -> None:
    items = [{"job_type": "python", "target": "a.b", "payload": i} for i in range(5000)]

    made = client.post("/v1/executions/bulk", json={"items": items})
    assert made.status_code == 201
    assert len(set(made.json()["execution_ids"])) == 5000
    refused = client.post("/v1/executions/bulk", json={"items": [*items[:3], {**items[0], "target": ""}]})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "body.items[3].target"
    assert db.execute("select count(*) from scheduler_internal.waiting").fetchone() == (5000,)


def test_executions_are_paged_newest_first(client: httpx.Client) -> None:
    ids = [client.post("/v1/executions", json=HTTP).json()["execution_id"] for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = client.get(
            "/v1/executions", params={"limit": 2} | ({"cursor": cursor} if cursor else {})
        ).json()
        seen += [execution["execution_id"] for execution in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == sorted(ids, reverse=True)


def test_what_was_written_is_read_with_its_token(client: httpx.Client) -> None:
    made = make(client)
    token = {"X-Consistency-Token": made.headers["x-consistency-token"]}

    assert client.get("/v1/jobs", headers=token).json()["items"] == [made.json()]


def test_what_has_ended_cannot_be_cancelled_again(client: httpx.Client) -> None:
    path = client.post("/v1/executions", json=HTTP).headers["location"]

    assert client.post(f"{path}/retry").status_code == 409
    assert client.post(f"{path}/cancel").json()["status"] == "cancelled"
    again = client.post(f"{path}/cancel")
    assert again.status_code == 409
    assert again.json()["type"] == "/problems/not-in-this-state"
    assert client.post(f"{path}/retry").json()["status"] in ("ready", "scheduled")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[" * 5000, "body"),
        (b'{"name": "j", "job_type": "http", "target": "\xff"}', "body.target"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "payload": "\\u0000"}', "body.payload"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "payload": 1e400}', "body.payload"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "payload": 1e-9999}', "body.payload"),
        (b'{"name": "j", "job_type": "http"}', "body.target"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "surprise": 1}', "body.surprise"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "timeout": "soon"}', "body.timeout"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "timezone": "Mars"}', "body.timezone"),
        (b'{"name": "j", "job_type": "http", "target": "http://x", "schedule": "x"}', "body.schedule"),
    ],
)
def test_the_part_to_blame_is_named(client: httpx.Client, body: bytes, field: str) -> None:
    answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in (400, 422)
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_what_a_value_may_be_is_said(client: httpx.Client) -> None:
    answer = client.post("/v1/executions/bulk", json={"items": [HTTP, {**HTTP, "backoff": "cubic"}]})

    assert answer.json()["detail"] == "body.items[1].backoff: must be one of fixed, linear, exponential"
