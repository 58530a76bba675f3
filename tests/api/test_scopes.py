"""The matrix of routes and keys, made from the OpenAPI document: each key may what it should, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from psycopg import Connection

from app.api.openapi import make_document
from tests.support.api import RunningApi, unused_api

Json = dict[str, Any]
DOCUMENT: Json = msgspec.json.decode(make_document(unused_api().litestar))
NOBODY = "0195ed8e-4a01-7d42-8f39-2b1c5d6e7f80"
TARGETS = {
    "sql": {"statement": "select 1"},
    "command": {"shell": "true"},
    "http": {"url": "http://example.com/"},
    "python": {"handler": "a.b"},
}


def operations() -> Iterator[tuple[str, str, Json]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path.replace("{job_id}", NOBODY).replace("{execution_id}", NOBODY), operation


OPERATIONS = {operation["operationId"]: (method, path, operation) for method, path, operation in operations()}
GUARDED = [name for name, (_, path, _) in OPERATIONS.items() if path.startswith("/v1/") and name != "events"]


@pytest.fixture
def bad_keys(db: Connection[Any]) -> dict[str, str]:
    """Keys that are no good, all of them with every scope."""
    make = "select * from scheduler.create_api_key(%s, '{admin}')"
    ended = {}
    for name in ("revoked", "expired"):
        row = db.execute(make, [name]).fetchone()
        assert row is not None
        ended[name] = row
    db.execute("select scheduler.revoke_api_key(%s)", [ended["revoked"][0]])
    db.execute(
        "update scheduler_internal.api_keys set expires_at = now() - interval '1 s' where key_id = %s",
        [ended["expired"][0]],
    )
    return {
        "unknown": "pgt_" + "0" * 64,
        "garbage": "\x80\xff",
        **{name: row[1] for name, row in ended.items()},
    }


def send(client: httpx.Client, name: str, secret: str | None) -> httpx.Response:
    """Sends a request that is well-formed but changes nothing."""
    method, path, _ = OPERATIONS[name]
    headers = [(b"authorization", b"Bearer " + secret.encode("latin-1"))] if secret is not None else []
    return client.request(
        method, path.replace("{name}", "n"), json={} if method != "get" else None, headers=headers
    )


def test_each_key_may_what_it_should(api: RunningApi, bad_keys: dict[str, str]) -> None:
    client = api.client(None)
    for name in GUARDED:
        needed = OPERATIONS[name][2]["security"][0]["key"][0]
        for secret in (None, *bad_keys.values()):
            assert send(client, name, secret).status_code == 401, (name, secret)
        for scope, secret in api.keys.items():
            answer = send(client, name, secret)
            allowed = scope in (needed, "admin")
            assert (answer.status_code != 403) == allowed, (name, scope, answer.text)
            assert answer.status_code not in (401, 405, 500, 503), (name, scope, answer.text)
            if not allowed:
                assert answer.json()["detail"] == f"the API key '{scope}' lacks the scope '{needed}'"


def test_what_is_public_needs_no_key(api: RunningApi) -> None:
    client = api.client(None)
    for name, (_, path, operation) in OPERATIONS.items():
        if not operation["security"]:
            assert send(client, name, None).status_code in (200, 503), path


@pytest.mark.parametrize("scheme", ["Basic {}", "{}", "bearer", "Bearer", "Token {}"])
def test_another_way_to_show_a_key_is_none(api: RunningApi, scheme: str) -> None:
    header = scheme.format(api.keys["admin"])

    assert api.client(None, headers={"Authorization": header}).get("/v1/jobs").status_code == 401


@pytest.mark.parametrize("job_type", ["sql", "command", "http", "python"])
@pytest.mark.parametrize("scope", ["operate", "enqueue", "admin"])
def test_what_runs_inside_the_house_needs_admin(api: RunningApi, job_type: str, scope: str) -> None:
    admin, client = api.client(), api.client(scope)
    inside = job_type in ("sql", "command")
    definition = {"job_type": job_type, "target": TARGETS[job_type]}
    other = {"job_type": "http", "target": TARGETS["http"]}
    outside = admin.post("/v1/jobs", json={"name": "outside", **other}).json()["job_id"]
    there = admin.post("/v1/jobs", json={"name": "there", **definition}).json()["job_id"]
    requests = {
        "operate": [
            ("POST", "/v1/jobs", {"name": "new", **definition}),
            ("PUT", "/v1/jobs/by-name/newer", definition),
            ("PUT", "/v1/jobs/by-name/there", other),
            ("PUT", f"/v1/jobs/{outside}", definition),
            ("PATCH", f"/v1/jobs/{outside}", definition),
            ("PATCH", f"/v1/jobs/{there}", {"priority": 5}),
            ("PUT", f"/v1/jobs/{there}", other),
        ],
        "enqueue": [
            ("POST", "/v1/executions", definition),
            ("POST", "/v1/executions/bulk", {"items": [other, definition]}),
        ],
    }
    requests["admin"] = requests["operate"] + requests["enqueue"]
    for method, path, body in requests[scope]:
        answer = client.request(method, path, json=body)
        refused = answer.status_code == 403
        assert refused == (inside and scope != "admin"), (method, path, answer.text)
        if refused:
            assert answer.json()["sqlstate"] == "42501"
            assert "admin" in answer.json()["detail"]
    if inside and scope == "enqueue":
        assert admin.get("/v1/executions").json()["items"] == []


def test_who_operates_may_stop_and_trigger_what_only_admin_may_change(api: RunningApi) -> None:
    admin, operator = api.client(), api.client("operate")
    job = admin.post("/v1/jobs", json={"name": "j", "job_type": "sql", "target": "select 1"}).json()["job_id"]

    assert operator.post(f"/v1/jobs/{job}/trigger").status_code == 201
    assert operator.post(f"/v1/jobs/{job}/pause").status_code == 200
    assert operator.post(f"/v1/jobs/{job}/resume").status_code == 200


def test_changes_are_in_the_audit_log_with_who_and_what(api: RunningApi, db: Connection[Any]) -> None:
    api.client("operate").post(
        "/v1/jobs",
        json={"name": "j", "job_type": "http", "target": "http://example.com/"},
        headers={"X-Request-ID": "r-17"},
    )

    rows = db.execute("select action, object_name, api_key, request_id, actor from scheduler.audit_log")
    assert ("create_job", "j", "operate", "r-17", "pgtick_api") in rows.fetchall()
