"""JSON that passes through to the database as it came: checked here, so that what is wrong has a name.

PostgreSQL takes nearly the same. What it does not (NUL, half a character) it refuses without a word about
which of the documents it means; and a number of a few bytes may be 16,384 long once it is written out.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

MAX_DEPTH = 64
MAX_DIGITS = 1000

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_LONG_NUMBER = re.compile(
    rb"(?<![0-9.])[0-9.]{%d}|[eE][+-]?0*[1-9][0-9]{3}|[eE]-0*[4-9][0-9]{2}" % (MAX_DIGITS + 1)
)


def find_fault(document: bytes) -> str | None:
    """Returns what is wrong with a document, or None."""
    try:
        value = msgspec.json.decode(document)
    except UnicodeDecodeError:
        return "is no UTF-8"
    except RecursionError:
        return f"is nested deeper than {MAX_DEPTH} levels"
    except msgspec.DecodeError as error:
        return f"is not taken: {error}"
    if b"\\u0000" in document and _holds_nul(value):
        return "must not hold a NUL character"
    # Inside a string it may be anything; most documents hold nothing that looks like it.
    if _LONG_NUMBER.search(document) and _LONG_NUMBER.search(_STRING.sub(b'""', document)):
        return "holds a number that is out of range"
    if document.count(b"[") + document.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        return f"is nested deeper than {MAX_DEPTH} levels"
    return None


def _holds_nul(value: Any) -> bool:
    todo = [value]
    while todo:
        found = todo.pop()
        if isinstance(found, str):
            if "\0" in found:
                return True
        elif isinstance(found, dict):
            todo += found.keys()
            todo += found.values()
        elif isinstance(found, list):
            todo += found
    return False


def _depth(value: Any) -> int:
    depth = 0
    level = [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [e for v in level for e in (v.values() if isinstance(v, dict) else v)]
    return depth
