"""What schemathesis imports: hooks that get its requests past the door, and draws that bear state.

By the schemas alone it draws targets that fit no type of job and zones that there are not: nearly all of that
is refused, and no link is ever followed. Only what is meant to be accepted is mended; the rest stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from zlib import crc32

import hypothesis
import schemathesis
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from schemathesis import Case, HookContext, Response
from schemathesis.generation.meta import TestPhase

from app.api.examples import EXECUTION_ID, JOB_ID
from tests.api.fuzz.values import TARGETS

AS_DRAWN = object()
LENGTHS = ("5 minutes", "PT15M", "1 day 02:00:00", "00:00:07", "5 minutes", "90 seconds", AS_DRAWN)
# By the field's name; what was drawn decides which of them.
SENSIBLE: dict[str, tuple[object, ...]] = {
    "schedule": ("30 2 * * *", "@daily", "every 15 minutes", "*/5 * * * * *", "H H * * *", AS_DRAWN),
    "timezone": ("Europe/Berlin", "UTC", "America/New_York", AS_DRAWN),
    "backoff_base": LENGTHS,
    "backoff_max": LENGTHS,
    "timeout": LENGTHS,
    "expires_after": LENGTHS,
    "misfire_window": LENGTHS,
    "jitter": LENGTHS,
}
_numbers = count()
# The ids in the document's examples, which nothing bears; by them, the newest that there are.
_newest = {JOB_ID: JOB_ID, EXECUTION_ID: EXECUTION_ID}


class Forgetful(HypothesisProvider):
    """Draws as Hypothesis does, but need not come to the same choices by the same draws.

    It cannot: what an API answers depends on all requests before, and what may be drawn next on the answer.
    Hypothesis would call that flaky, at which schemathesis ends its run: early, and as a success.
    """


AVAILABLE_PROVIDERS["forgetful"] = f"{__name__}.{Forgetful.__name__}"
hypothesis.settings.register_profile("forgetful", backend="forgetful")
hypothesis.settings.load_profile("forgetful")


@schemathesis.hook
def map_case(context: HookContext, case: Case[Any]) -> Case[Any]:
    """Mends what was drawn; at the bounds nothing is."""
    if _is_to_be_accepted(case) and case.meta and case.meta.phase.name == TestPhase.STATEFUL:
        for part in _parts(case.body):
            _mend(part)
        if isinstance(case.query, dict) and _mark(case.query.get("cursor")) % 8:
            case.query.pop("cursor", None)
    return case


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Mends what stands in the examples, too: asks for what there is, and makes what there is not yet."""
    for name, value in (case.path_parameters or {}).items():
        case.path_parameters[name] = _newest.get(value, value)
    if _is_to_be_accepted(case):
        number = next(_numbers)
        key = case.headers.get("Idempotency-Key", "")
        if 0 < len(key) < 200 and number % 8:
            case.headers["Idempotency-Key"] = f"{key}-{number}"
        for part in _parts(case.body):
            if number % 4:
                _spare(part)
            if "target" in part and part.get("job_type") in TARGETS:
                part["target"] = TARGETS[part["job_type"]]
            if number % 8 and 0 < len(part.get("name", "")) < 180:
                part["name"] += f"-{number}"


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remembers what was made."""
    if response.status_code == 201:
        made = response.json()
        _newest[JOB_ID] = made.get("job_id") or _newest[JOB_ID]
        _newest[EXECUTION_ID] = made.get("execution_id") or _newest[EXECUTION_ID]


def _is_to_be_accepted(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode.is_positive


def _parts(body: object) -> Iterator[dict[str, Any]]:
    if isinstance(body, dict):
        yield body
        items = body.get("items")
        yield from (item for item in items if isinstance(item, dict)) if isinstance(items, list) else ()


def _mend(part: dict[str, Any]) -> None:
    for name, value in part.items():
        if isinstance(value, str) and name in SENSIBLE:
            chosen = SENSIBLE[name][_mark(value) % len(SENSIBLE[name])]
            part[name] = value if chosen is AS_DRAWN else chosen
        elif isinstance(value, float) and name != "payload":
            part[name] = int(value)  # 7.0 is an integer to JSON schema, and none to us
    if "name" in part and _mark(part["name"]) % 4:
        part["name"] = f"job-{_mark(part['name'])}"


def _spare(part: dict[str, Any]) -> None:
    """Takes away what ends before it begins: a past end, and limits of no time at all."""
    part.pop("ends_at", None)
    for name in ("timeout", "expires_after", "misfire_window", "backoff_max"):
        if part.get(name) == "0":
            del part[name]


def _mark(drawn: object) -> int:
    return crc32(repr(drawn).encode(errors="replace"))
