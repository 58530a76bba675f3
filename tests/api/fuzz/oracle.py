"""Says where an answer breaks the contract: by the OpenAPI document alone."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import msgspec

LONGEST_SECONDS = 5.0
# A refusal with this status names the part of the request that is to blame.
TOLD = {400, 415, 422}


class Sent(msgspec.Struct, frozen=True):
    """A request."""

    method: str
    path: str
    """The path as the document writes it."""
    target: str
    headers: dict[str, str]
    body: bytes | None
    value: Any = None
    """What the body says, if it is JSON."""


class Got(msgspec.Struct, frozen=True):
    """An answer; names of headers in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def media_type(self) -> str:
        """What the body is, without parameters."""
        return self.headers["content-type"].partition(";")[0]

    def json(self) -> Any:
        """Returns what the body says: its text if it is no JSON."""
        return msgspec.json.decode(self.body) if "json" in self.media_type else self.body.decode()


class Oracle:
    """Knows what may be answered to what."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._validators: dict[str, Any] = {}
        self.counts: Counter[tuple[str, int]] = Counter()

    def check(self, sent: Sent, got: Got) -> None:
        """Fails where an answer is not what the document says, was late, or is our fault."""
        operation = self._document["paths"][sent.path][sent.method.lower()]
        self.counts[operation["operationId"], got.status] += 1
        assert got.status < 500
        assert got.seconds < LONGEST_SECONDS
        assert str(got.status) in operation["responses"]
        assert "x-request-id" in got.headers
        expected = operation["responses"][str(got.status)]
        if "$ref" in expected:
            expected = self._document["components"]["responses"][expected["$ref"].rpartition("/")[2]]
        if "content" not in expected:
            assert got.body == b""
            return
        media_type = got.media_type
        assert media_type in expected["content"], f"{media_type} is not in the document"
        schema = expected["content"][media_type]["schema"]
        self._hold(f"{operation['operationId']} {got.status}", schema, got.json())
        if got.status in TOLD:
            assert got.json().get("errors"), "names no field"
        if got.status < 400 and sent.path.startswith("/v1/"):
            self._check_request(operation, sent)

    def _check_request(self, operation: dict[str, Any], sent: Sent) -> None:
        """Fails where what the document does not allow was accepted."""
        name = operation["operationId"]
        if sent.body and "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self._hold(f"{name} body", schema, sent.value)
        given = parse_qsl(urlsplit(sent.target).query, keep_blank_values=True)
        known = {}
        for parameter in operation.get("parameters", ()):
            if "$ref" in parameter:
                parameter = self._document["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
            known[parameter["name"]] = parameter
        for key, text in given:
            assert key in known, f"the parameter {key!r} is not in the document"
            schema = known[key]["schema"]
            value = int(text) if schema.get("type") == "integer" else text
            if schema.get("type") == "boolean":
                value = {"true": True, "false": False}.get(text, text)
            self._hold(f"{name} {key}", schema, value)
        for key, text in sent.headers.items():
            if key in known:
                self._hold(f"{name} {key}", known[key]["schema"], text)

    def _hold(self, name: str, schema: dict[str, Any], value: Any) -> None:
        if name not in self._validators:
            whole = schema | {"components": self._document["components"]}
            self._validators[name] = jsonschema_rs.validator_for(whole, validate_formats=True)
        try:
            self._validators[name].validate(value)
        except jsonschema_rs.ValidationError as error:
            raise AssertionError(f"{name}: {error.message} at {list(error.instance_path)}") from None
