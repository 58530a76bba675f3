"""Jobs written in a YAML file, and the database made to agree with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.jobfile_problems import JobFileError, Problem, nearest
from app.jobfile_spec import MARKS, NULLABLE, POLICIES, TARGET_KEYS, JobSpec, Kind, place_of
from app.jobfile_sync import Report, sync
from app.jobfile_yaml import MAX_BYTES, Json, Node, read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

_TOP = ("version", "name", "defaults", "jobs")
_JOB = (*TARGET_KEYS, "schedule", "payload", "paused", *POLICIES)
_INTEGER_RANGE = range(-(2**31), 2**31)
_OFFSET = re.compile(r":[0-9]{2}(?:\.[0-9]+)? *(?:Z|UTC|[-+][0-9]{2}(?::?[0-9]{2})?)$", re.IGNORECASE)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,79}")


@dataclass(frozen=True, slots=True)
class JobFile:
    """A file as it was read: its jobs, and the mark that says that they are its own."""

    mark: str
    jobs: tuple[JobSpec, ...]
    problems: tuple[Problem, ...]


def apply_file(
    conn: psycopg.Connection[Any],
    path: str | Path,
    *,
    dry_run: bool = False,
    prune: bool = False,
    take_over: bool = False,
) -> Report:
    """Creates and updates the file's jobs in one transaction; a dry run only tells what it would do.

    With `prune`, jobs that this file created and no longer names are deleted. With `take_over`, those that it
    names are its own from now on, whoever made them. Raises JobFileError, with every problem that it has,
    when anything in the file is wrong; nothing is changed then.
    """
    path = Path(path)
    file = read_file(path)
    if file.problems:
        # The jobs that could be read are tried all the same, so that one run tells all there is to correct.
        try:
            sync(conn, file.jobs, file=str(path), mark=file.mark, dry_run=True, take_over=take_over)
        except JobFileError as error:
            raise JobFileError(str(path), [*file.problems, *error.problems]) from None
        raise JobFileError(str(path), file.problems)
    return sync(
        conn, file.jobs, file=str(path), mark=file.mark, dry_run=dry_run, prune=prune, take_over=take_over
    )


def read_file(path: Path) -> JobFile:
    """Reads a file of jobs; what is wrong with it is in its problems."""
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    root, problems = read_yaml(data)
    reader = _Reader(problems)
    jobs: list[JobSpec] = []
    name = None
    if root is None and not problems:
        reader.refuse(1, "the file is empty", 'begin with "version: 1" and "jobs:"')
    elif root is not None and not isinstance(root.value, dict):
        reader.refuse(root.line, f"the file is {root.kind()}", 'begin with "version: 1" and "jobs:"')
    elif root is not None:
        entries = reader.mapping(root)
        name = reader.file_name(entries.get("name"))
        if "name" not in entries and not path.is_file():
            # What it is called is a number that the next run would not know again.
            reader.refuse(1, "this is no file, so nothing says what its jobs belong to", 'write "name: …"')
        jobs = reader.jobs(entries)
    return JobFile(f"file:{name or place_of(path)}", tuple(jobs), tuple(reader.problems))


class _Reader:
    """Checks the form of each entry, and keeps on reading after a problem."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self._job: str | None = None

    def refuse(self, line: int, what: str, hint: str) -> None:
        self.problems.append(Problem(line, self._job, what, hint))

    def mapping(self, node: Node) -> dict[str, Node]:
        if isinstance(node.value, dict):
            return node.value
        self.refuse(node.line, f"here is {node.kind()}, not a mapping", 'write "key: value" lines below it')
        return {}

    def file_name(self, node: Node | None) -> str | None:
        if node is None:
            return None
        if isinstance(node.value, str) and _FILE_NAME.fullmatch(node.value):
            return node.value
        self.refuse(
            node.line,
            "name must be a short word for this file",
            "use up to 80 of the characters A-Z a-z 0-9 . _ / -, a letter or digit first",
        )
        return None

    def jobs(self, top: dict[str, Node]) -> list[JobSpec]:
        self._unknown(top, _TOP)
        version = top.get("version")
        if version is None or version.value != 1 or isinstance(version.value, bool):
            line = version.line if version else 1
            self.refuse(line, "the version of the format is missing or unknown", 'write "version: 1"')
        defaults: dict[str, Node] = {}
        if (node := top.get("defaults")) is not None and node.value is not None:
            defaults = self.mapping(node)
            self._unknown(defaults, tuple(POLICIES))
        if "jobs" not in top or top["jobs"].value is None:
            line = top["jobs"].line if "jobs" in top else 1
            self.refuse(line, "there are no jobs", 'name them under "jobs:"; write "jobs: {}" to mean none')
            return []
        jobs = [self._spec(name, node, defaults) for name, node in self.mapping(top["jobs"]).items()]
        return [job for job in jobs if job is not None]

    def _spec(self, name: str, node: Node, defaults: dict[str, Node]) -> JobSpec | None:
        before = len(self.problems)
        self._job = name
        entries = self.mapping(node)
        self._unknown(entries, _JOB)
        arguments: dict[str, Json] = {}
        if isinstance(node.value, dict):
            self._target(node, entries, arguments)
        if (schedule := entries.get("schedule")) is not None and schedule.value is not None:
            arguments["schedule"] = self._text("schedule", schedule)
        if (payload := entries.get("payload")) is not None:
            arguments["payload"] = payload.plain()
        for policy, kind in POLICIES.items():
            value = entries.get(policy, defaults.get(policy))
            if value is not None:
                arguments[policy] = self._policy(policy, kind, value)
        paused = entries.get("paused")
        if paused is not None and not isinstance(paused.value, bool):
            self.refuse(paused.line, f"paused is {paused.kind()}", "write true or false")
        self._job = None
        if len(self.problems) > before:
            return None
        return JobSpec(
            name=name,
            line=node.line,
            arguments=arguments,
            paused=paused.value if paused is not None and isinstance(paused.value, bool) else None,
            lines={
                "target" if key in TARGET_KEYS else key: entry.line
                for key, entry in (defaults | entries).items()
            },
        )

    def _target(self, node: Node, entries: dict[str, Node], arguments: dict[str, Json]) -> None:
        given = [key for key in TARGET_KEYS if key in entries]
        if len(given) != 1:
            what = f"has {' and '.join(given)}" if given else "has nothing to run"
            self.refuse(node.line, what, f"write one of {', '.join(TARGET_KEYS)}")
            return
        job_type = given[0]
        target = entries[job_type].plain()
        if job_type == "command" and isinstance(target, list):
            target = {"args": target}
        if not isinstance(target, str | dict):
            what = f"{job_type} is {entries[job_type].kind()}"
            self.refuse(
                entries[job_type].line, what, f"write text, or a mapping with {TARGET_KEYS[job_type]}"
            )
        arguments["job_type"] = job_type
        arguments["target"] = target

    def _policy(self, name: str, kind: Kind, node: Node) -> Json:
        if node.value is None:
            if name not in NULLABLE:
                self.refuse(node.line, f"{name} is empty", "give it a value, or remove the line")
            return None
        if kind == "integer":
            # By its type: true is an int to Python.
            if type(node.value) is not int or node.value not in _INTEGER_RANGE:
                self.refuse(node.line, f"{name} is not a whole number in range", "write digits, no quotes")
            return node.plain()
        if kind == "tags":
            return self._tags(node)
        if kind == "length" and type(node.value) in (int, Decimal):
            self.refuse(node.line, f"{name} has no unit", f"write for example {node.value} seconds")
            return None
        text = self._text(name, node)
        if kind == "time" and not _OFFSET.search(text):
            hint = 'write it like "2026-01-31T08:00:00+01:00", or with Z for UTC'
            self.refuse(node.line, f"{name} has no offset from UTC", hint)
        return text

    def _text(self, name: str, node: Node) -> str:
        if isinstance(node.value, str):
            return node.value
        self.refuse(node.line, f"{name} is {node.kind()}, not text", "put the value in quotes")
        return ""

    def _tags(self, node: Node) -> Json:
        tags = node.plain()
        if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
            self.refuse(node.line, "tags is not a list of texts", "write tags: [one, two]")
        elif reserved := [tag for tag in tags if str(tag).startswith(MARKS)]:
            what = f'the tag "{reserved[0]}" is reserved: it says which file manages a job'
            self.refuse(node.line, what, "choose another tag")
        return tags

    def _unknown(self, entries: dict[str, Node], known: Iterable[str]) -> None:
        known = tuple(known)
        for key in entries.keys() - set(known):
            self.refuse(entries[key].line, f'unknown key "{key}"', nearest(key, known))
