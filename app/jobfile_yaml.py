"""YAML text as plain values that know their lines.

It reads YAML's events, never its objects: no tag is obeyed, no alias is expanded, and size and depth are
bounded, so a hostile file costs no more than a friendly one. Plain scalars follow the core schema of
YAML 1.2: `yes`, `on`, `1:30` and `2026-01-01` are text, as their writers mean them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeAlias

import yaml

from app.documents import MAX_INTEGER_DIGITS
from app.jobfile_problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

# Some 20,000 jobs; at most ten seconds and 200 MB, whatever is in it.
MAX_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
# So many has a number of PostgreSQL after its point; before it, scheduler.put_job takes fewer.
MAX_DIGITS = 16_383

Scalar: TypeAlias = bool | int | Decimal | str | None
Json: TypeAlias = "Scalar | list[Json] | dict[str, Json]"

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and the line where it (or its key, in a mapping) stands."""

    value: Scalar | list[Node] | dict[str, Node]
    line: int

    def plain(self) -> Json:
        """The value without its lines."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value

    def kind(self) -> str:
        """What the value is, in the words of an error message."""
        names = {bool: "true or false", int: "a number", Decimal: "a number", str: "text", list: "a list"}
        return "empty" if self.value is None else names.get(type(self.value), "a mapping")


class _RefusedError(Exception):
    """Reading cannot go on after this problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def read_yaml(data: bytes) -> tuple[Node | None, list[Problem]]:
    """The document's root (null when it cannot be read or is empty) and all that is wrong with its form."""
    reader = _Reader()
    try:
        return reader.read(_decode(data)), reader.problems
    except _RefusedError as refused:
        return None, [*reader.problems, refused.problem]


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _RefusedError(Problem(1, None, f"larger than {MAX_BYTES} bytes", "split it into several files"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _RefusedError(Problem(line, None, "not UTF-8", "save the file as UTF-8")) from None


class _Reader:
    """Turns the stream of events into nodes."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[yaml.Event] = iter(())

    def read(self, text: str) -> Node | None:
        self._events = yaml.parse(text, Loader=_LOADER)
        try:
            next(self._events)  # the stream's start
            if isinstance(next(self._events), yaml.StreamEndEvent):
                return None
            root = self._node(next(self._events), depth=0)
            next(self._events)  # the document's end
            event = next(self._events)
        except yaml.YAMLError as error:
            raise _RefusedError(_syntax_problem(error, text)) from None
        if not isinstance(event, yaml.StreamEndEvent):
            raise _RefusedError(
                Problem(_line(event), None, "a second document begins here", "write one document to a file")
            )
        return root

    def _node(self, event: yaml.Event, *, depth: int) -> Node:
        line = _line(event)
        if depth > MAX_DEPTH:
            raise _RefusedError(Problem(line, None, f"nested deeper than {MAX_DEPTH} levels", "flatten it"))
        if anchor := getattr(event, "anchor", None):
            raise _RefusedError(
                Problem(
                    line,
                    None,
                    f'"{anchor}" is an anchor or alias, which job files do not have',
                    'write common values under "defaults:"; put text that begins with & or * in quotes',
                )
            )
        tag = getattr(event, "tag", None)
        if tag not in (None, "!"):
            self.problems.append(Problem(line, None, f'the tag "{tag}" is not supported', "remove it"))
        if isinstance(event, yaml.ScalarEvent):
            return Node(self._scalar(event), line)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
                items.append(self._node(item, depth=depth + 1))
            return Node(items, line)
        return Node(self._mapping(depth=depth), line)

    def _mapping(self, *, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            line = _line(event)
            if not isinstance(event, yaml.ScalarEvent):
                self._node(event, depth=depth + 1)
                self.problems.append(Problem(line, None, "a key must be plain text", "put it in quotes"))
                self._node(next(self._events), depth=depth + 1)
                continue
            key = self._text(event)
            value = self._node(next(self._events), depth=depth + 1)
            if key in entries:
                hint = f"keep one: the first is in line {entries[key].line}"
                self.problems.append(Problem(line, None, f'"{key}" is written twice', hint))
            else:
                entries[key] = Node(value.value, line)
        return entries

    def _scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text = self._text(event)
        if not event.implicit[0]:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text) and len(text) <= MAX_INTEGER_DIGITS:
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        if not _FLOAT.fullmatch(text) and not _NOT_FINITE.fullmatch(text):
            return text
        number = _decimal(text)
        if number is None:
            what = f'"{text[:40]}" is no number that the database can hold'
            self.problems.append(Problem(_line(event), None, what, "put it in quotes"))
        return number

    def _text(self, event: yaml.ScalarEvent) -> str:
        text: str = event.value
        if _NOT_TEXT.search(text):
            self.problems.append(
                Problem(_line(event), None, "\\0 and half characters cannot be stored", "remove them")
            )
        return text


def _decimal(text: str) -> Decimal | None:
    """The number as it is written, unless it is none or out of the database's range."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if abs(number.adjusted()) <= MAX_DIGITS else None


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark else 1


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        number, what = mark.line + 1, error.problem or error.context or "not understood"
    else:
        position = getattr(error, "position", 0)
        number, what = text.count("\n", 0, position) + 1, "control characters are not allowed"
    lines = text.splitlines()
    line = lines[number - 1] if number <= len(lines) else ""
    hint = "check the indentation and the quotes of this line and the one before"
    if re.search(r"[:-][ \t]+[*@%]", line):
        hint = 'put the value in quotes, for example schedule: "*/5 * * * *"'
    elif line.lstrip(" ").startswith("\t"):
        hint = "indent with spaces, not with tabs"
    return Problem(number, None, f"not YAML: {what}", hint)
