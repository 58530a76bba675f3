"""The OpenAPI document says what is true, and whoever reads it needs nothing but us."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

import app.api
from app.api import schemas
from app.api.examples import REQUESTS
from app.api.openapi import make_document
from app.api.problems import KINDS
from tests.support.api import RunningApi, unused_api

Json = dict[str, Any]

# Of the package swagger-ui-dist 5.31.0 as its makers published it.
SWAGGER_UI = {
    "swagger-ui-bundle.js": "93b7b0862a80e2786f85b560be7693c2344354ffa7e7e224f850a54349724c31",
    "swagger-ui.css": "9e576f8322132c76949da47f9bb53c891373c303ea3a761ff548ffc9de50a98c",
}


@pytest.fixture(scope="module")
def document() -> Json:
    found: Json = msgspec.json.decode(make_document(unused_api().litestar))
    return found


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_document_is_valid(document: Json) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_operations_are_known_by_short_names(document: Json) -> None:
    names = [operation["operationId"] for *_, operation in operations(document)]

    assert len(names) == len(set(names))
    assert set(names) >= {"list_jobs", "put_job", "enqueue_many", "preview", "report"}
    assert all(re.fullmatch(r"[a-z_]{4,20}", name) for name in names)


def test_only_what_is_outside_v1_is_public(document: Json) -> None:
    for path, _, operation in operations(document):
        scopes = [scope for needed in operation["security"] for scope in needed["key"]]
        assert bool(scopes) == path.startswith("/v1/"), path
        assert set(scopes) <= {"read", "enqueue", "operate"}


def test_every_operation_tells_its_problems(document: Json) -> None:
    for path, method, operation in operations(document):
        if not path.startswith("/v1/"):
            continue
        told = set(operation["responses"])
        assert told >= {"400", "401", "403", "429", "503"}, path
        is_idempotent = method == "post" and path != "/v1/schedules/preview"
        assert ("404" in told) == ("_id}" in path or is_idempotent), path
        assert ("413" in told) == ("415" in told) == ("requestBody" in operation), path
        if is_idempotent:
            assert told >= {"409", "422"}, path


def test_nothing_is_referred_to_that_is_not_there(document: Json) -> None:
    def references(part: Any) -> Iterator[str]:
        if isinstance(part, dict):
            for key, value in part.items():
                if key == "$ref":
                    yield value
                else:
                    yield from references(value)
        elif isinstance(part, list):
            for value in part:
                yield from references(value)

    used = set(references(document))
    for reference in used:
        found = document
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
    kept = {
        f"#/components/{kind}/{name}"
        for kind in ("parameters", "headers", "responses", "schemas")
        for name in document["components"][kind]
    }
    assert kept <= used


def test_links_lead_to_operations_that_take_what_they_give(document: Json) -> None:
    taken = {
        operation["operationId"]: {
            (p if "name" in p else document["components"]["parameters"][p["$ref"].rpartition("/")[2]])["name"]
            for p in operation.get("parameters", ())
        }
        for *_, operation in operations(document)
    }
    linked = set()
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                given = {name.removeprefix("header.") for name in link["parameters"]}
                assert given <= taken[link["operationId"]]
                linked.add(link["operationId"])

    needing_one = {o["operationId"] for path, _, o in operations(document) if "{" in path}
    assert linked == needing_one | {"list_jobs", "list_executions"}


def test_examples_fit_their_schemas(document: Json) -> None:
    count = 0
    for path, _, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for body in bodies:
            if "$ref" in body:
                body = document["components"]["responses"][body["$ref"].rpartition("/")[2]]
            for content in body.get("content", {}).values():
                schema = content["schema"] | {"components": document["components"]}
                examples = [e["value"] for e in content.get("examples", {}).values()]
                for example in examples + ([content["example"]] if "example" in content else []):
                    jsonschema_rs.validate(schema, example, validate_formats=True)
                    count += 1
                    assert path
    assert count > 100


def test_bodies_are_closed(document: Json) -> None:
    for body in REQUESTS:
        assert document["components"]["schemas"][body.__name__]["additionalProperties"] is False


def test_every_kind_of_problem_has_its_page(client: httpx.Client) -> None:
    for slug in client.get("/problems").text.split():
        answer = client.get(f"/problems/{slug}")
        assert answer.status_code == 200
        assert KINDS[slug].meaning in answer.text


def test_no_problem_is_of_an_unknown_kind() -> None:
    found: set[Any] = set()
    for file in Path(app.api.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="Problem"),
                    args=[ast.Constant(value=status), ast.Constant(value=slug), *_],
                ):
                    found.add((status, slug))
            for keyword in getattr(node, "keywords", []):
                if keyword.arg == "slug" and isinstance(keyword.value, ast.Constant):
                    found.add((503, keyword.value.value))
    assert found <= {(kind.status, slug) for slug, kind in KINDS.items()}
    assert len(found) > 10


def test_a_browser_gets_the_viewer_and_others_the_document(client: httpx.Client) -> None:
    page = client.get("/schema", headers={"Accept": "text/html,*/*"})
    document = client.get("/schema")

    assert page.headers["content-type"].startswith("text/html")
    assert document.json()["openapi"] == "3.1.0"
    assert document.content == client.get("/schema/openapi.json").content


@pytest.mark.parametrize("path", ["/schema", "/schema/"])
def test_the_viewer_needs_nobody_else(client: httpx.Client, path: str) -> None:
    page = client.get(path, headers={"Accept": "text/html"})
    policy = page.headers["content-security-policy"]

    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    linked = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    linked += re.findall(r'url: "([^"]+)"', client.get("/schema/viewer.js").text)
    assert {"/schema/swagger-ui-bundle.js", "/schema/openapi.json"} <= set(linked)
    for link in linked:
        assert client.get(page.url.join(link)).status_code == 200


@pytest.mark.parametrize(("name", "digest"), SWAGGER_UI.items())
def test_the_viewer_is_what_its_makers_published(client: httpx.Client, name: str, digest: str) -> None:
    assert hashlib.sha256(client.get(f"/schema/{name}").content).hexdigest() == digest


def test_what_is_said_of_shortened_documents(client: httpx.Client) -> None:
    large = {"name": "large", "job_type": "python", "target": "noop", "payload": "x" * 5000}
    assert client.post("/v1/jobs", json=large).status_code == 201
    (shown,) = client.get("/v1/jobs").json()["items"]

    job = client.get("/schema/openapi.json").json()["components"]["schemas"]["Job"]

    assert f"`{json.dumps(shown['payload'])}`" in job["properties"]["payload"]["description"]


def test_what_has_not_changed_is_not_sent_again(client: httpx.Client) -> None:
    etag = client.get("/schema/openapi.json").headers["etag"]

    answer = client.get("/schema/openapi.json", headers={"If-None-Match": etag})

    assert answer.status_code == 304
    assert answer.content == b""


def test_the_document_needs_no_key_and_no_database(api: RunningApi) -> None:
    assert api.client(None).get("/schema/openapi.json").status_code == 200


def test_a_problem_is_what_its_schema_says() -> None:
    fields = {field.name for field in msgspec.structs.fields(schemas.Problem)}

    assert fields == {"type", "title", "status", "detail", "instance", "hint", "errors", "sqlstate"}
