"""Values by JSON schema: mostly such as it allows, at its bounds too, now and then such as it does not."""

from __future__ import annotations

import re
from typing import Any

from tests.api.fuzz.choices import Choices

Schema = dict[str, Any]

ODD_ONE_IN = 48
DEEP = 8

NESTED: Any = 0
for _ in range(70):
    NESTED = [NESTED]
ODD: tuple[Any, ...] = (
    None,
    "",
    0,
    -1,
    True,
    [],
    {},
    1.5,
    10**30,
    -(10**400),
    1e308,
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u202e\ufeff\u0301",
    "'; drop table scheduler.jobs; --",
    "%s%n$1{0}",
    "x" * 300,
    "x" * 5_000,
    {"": ""},
    {"a": {"b": [None, {"c": "\x00"}]}},
    [[], [[]], [None]],
    NESTED,
    "9" * 500,
    "infinity",
    "NaN",
    "2031-02-30T00:00:00Z",
    "+294277-01-01T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    "10000000 years",
)
TIMES = (
    "2031-03-05T12:00:00Z",
    "2026-01-01T00:00:00+02:00",
    "2031-03-05T12:00:00.123456Z",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00Z",
    "2024-02-29T23:59:60Z",
    "2031-03-05t12:00:00z",
    "2031-03-05T12:00:00",
    "2031-03-05",
)
LENGTHS = (
    "5 minutes",
    "0",
    "PT15M",
    "1 day 02:00:00",
    "-1 second",
    "9999999 years",
    "P9999999Y",
    "0.000001 seconds",
    "1 mon 3 days",
)
SCHEDULES = (
    "30 2 * * *",
    "@daily",
    "every 15 minutes",
    "*/5 * * * * *",
    "0 0 29 2 *",
    "0 0 30 2 *",
    "H H * * *",
    "0 12 LW * ? 2031",
    "every 3 seconds from 2026-01-01T00:00:00Z",
    "every 0 seconds",
    "@reboot",
    "61 * * * *",
    "0 9 * * mon#5",
    "* * * * * * * *",
    ",".join("0" for _ in range(400)) + " * * * *",
)
ZONES = (
    "Europe/Berlin",
    "UTC",
    "America/New_York",
    "Mars/Olympus",
    "Etc/GMT+12",
    "../../etc/passwd",
    "posixrules",
)
TARGETS = {
    "http": {"url": "http://127.0.0.1:9/"},
    "python": "a.handler",
    "sql": {"statement": "select 1"},
    "command": {"args": ["true"]},
}
WORDS = ("nightly", "a", "ab", "ä", "😀", "A.b_c:d-e", " ", "a/b?c#d%", "0", "x" * 63, "x" * 64)
PAYLOADS: tuple[Any, ...] = (
    None,
    {"kind": "daily"},
    0,
    [1, 2.5, -0.0, 1e-7],
    "text",
    {"a": {"b": {"c": []}}},
    10**25,
    "😀\u2028",
    {"a" * 200: "b" * 2_000},
)
SPECIAL = {
    "schedule": SCHEDULES,
    "timezone": ZONES,
    "payload": PAYLOADS,
}


class Values:
    """Draws values; references lead into the document's components."""

    def __init__(self, document: Schema, *, prefix: str) -> None:
        """Names of jobs begin with the prefix, unless they are odd."""
        self._prefix = prefix
        self._schemas: dict[str, Schema] = document["components"]["schemas"]

    def draw(self, choices: Choices, schema: Schema, *, name: str = "", depth: int = 0) -> Any:
        """Returns a value for the schema, of a field of this name."""
        if choices.once_in(ODD_ONE_IN):
            return choices.of(ODD)
        if "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        if "anyOf" in schema:
            return self.draw(choices, choices.of(schema["anyOf"]), name=name, depth=depth)
        if "enum" in schema:
            return choices.of(schema["enum"])
        if name == "name":
            return self._prefix + choices.of(WORDS)
        if name in SPECIAL:
            return choices.of(SPECIAL[name])
        match schema.get("type"):
            case "object":
                return self._object(choices, schema, depth)
            case "array":
                count = choices.of((1, 1, 2, 0, 5, schema.get("maxItems", 100) + 1 if depth < 2 else 3))
                items = [self.draw(choices, schema["items"], depth=depth + 1) for _ in range(min(count, 5))]
                return (items * count)[:count]
            case "integer":
                low, high = schema.get("minimum", -(2**31)), schema.get("maximum", 2**31)
                return choices.of(
                    (low, high, min(low + 1, high), min(low + 7, high), low - 1, high + 1, 2**63)
                )
            case "boolean":
                return choices.once_in(2)
            case "null":
                return None
        return self._text(choices, schema)

    def _object(self, choices: Choices, schema: Schema, depth: int) -> dict[str, Any]:
        drawn: dict[str, Any] = {}
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            wanted = not choices.once_in(80) if name in required else choices.once_in(6)
            if wanted:
                drawn[name] = self.draw(choices, field, name=name, depth=depth + 1)
        # What is to run belongs to how it is run.
        if "target" in drawn and not choices.once_in(8):
            kind = drawn.get("job_type")
            drawn["target"] = TARGETS.get(kind, "a.handler") if isinstance(kind, str) else "a.handler"
        if choices.once_in(80):
            drawn[choices.of(("unknown", "", "job_id", "__proto__", "\x00"))] = 1
        return drawn

    def _text(self, choices: Choices, schema: Schema) -> str:
        if schema.get("format") == "date-time":
            return choices.of(TIMES)
        if "([+-]?[0-9]" in schema.get("pattern", ""):
            return choices.of(LENGTHS)
        if choices.once_in(6) and "maxLength" in schema:
            return "x" * int(schema["maxLength"] + choices.of((0, 1)))
        words = (*(e for e in schema.get("examples", ()) if isinstance(e, str)), *WORDS)
        return choices.of(words)


def is_plain(text: str) -> bool:
    """Tells whether a text may stand in a header as it is."""
    return re.fullmatch(r"[\x21-\x7e]+", text) is not None
