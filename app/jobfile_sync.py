"""Makes the database agree with a list of jobs, in one transaction, and tells what changed.

The database decides what a definition means (zones in their canonical spelling, targets as documents, lengths
as intervals) and whether it is valid; so a job is compared as it was with what put_job() made of it, never
with the text of the file, and a dry run is the real thing, rolled back.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from app.db import describe_notice
from app.documents import to_json
from app.jobfile_problems import JobFileError, Problem
from app.jobfile_spec import COMPARED, JobSpec, marks_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from app.jobfile_yaml import Json

# Never retried here, and no fault of any job: the whole run fails with them.
_NOT_THE_JOBS_FAULT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedTable,
    psycopg.errors.InvalidSchemaName,
)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One attribute of a job, before and after."""

    field: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True)
class JobChange:
    """What became of one job."""

    name: str
    action: Literal["created", "updated", "unchanged", "deleted"]
    changes: tuple[FieldChange, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did, or would do; `orphans` are jobs of this file that it no longer names and that stay."""

    jobs: tuple[JobChange, ...]
    dry_run: bool
    orphans: tuple[str, ...] = ()

    def count(self, action: str) -> int:
        """How many jobs this became of."""
        return sum(job.action == action for job in self.jobs)


def sync(
    conn: psycopg.Connection[Any],
    specs: Sequence[JobSpec],
    *,
    file: str,
    mark: str,
    dry_run: bool = False,
    prune: bool = False,
    keep: Iterable[str] = (),
    keep_going: Callable[[Problem], None] | None = None,
    take_over: bool = False,
) -> Report:
    """Gives every job its definition, or none: raises JobFileError with all that the database refused.

    With `keep_going`, what is refused is handed to it and the others are done. `keep` names further jobs that
    are no orphans of this file. With `take_over`, every job gets the mark, whoever made it.
    """
    run = _Sync(conn, file=file, mark=mark, take_over=take_over)
    with conn.transaction(force_rollback=dry_run):
        # Lengths as people write them, times in UTC: the form in which a definition is compared and shown.
        conn.execute("select set_config('intervalstyle', 'postgres_verbose', true)")
        conn.execute("select set_config('timezone', 'UTC', true)")
        report = run.all(specs, prune=prune, keep=set(keep), dry_run=dry_run)
        for problem in run.problems:
            if keep_going is None:
                raise JobFileError(file, run.problems)
            keep_going(problem)
    return report


class _DisagreementError(Exception):
    """The job is another file's, and that file defines it in another way."""


class _Sync:
    def __init__(self, conn: psycopg.Connection[Any], *, file: str, mark: str, take_over: bool) -> None:
        self._conn = conn
        self._file = file
        self._mark = mark
        self._take_over = take_over
        self.problems: list[Problem] = []

    def all(self, specs: Sequence[JobSpec], *, prune: bool, keep: set[str], dry_run: bool) -> Report:
        wanted = {spec.name for spec in specs}
        before = self._definitions(wanted)
        warnings: dict[str, list[str]] = {}
        orphans = sorted(name for name in before.keys() - wanted - keep if self._owns(before[name]))
        steps: dict[str, JobSpec | None] = dict.fromkeys(orphans if prune else ())
        steps |= {spec.name: spec for spec in specs}
        done: list[JobSpec] = []
        # In the order of their names, so that two runs at once wait for each other and never in a circle.
        for name in sorted(steps):
            spec = steps[name]
            if spec is None:
                self._delete(before[name]["job_id"])
            elif self._put(spec, before.get(name), warnings.setdefault(name, [])):
                done.append(spec)
        after = self._definitions(wanted)
        jobs = [
            _change(spec.name, before.get(spec.name), after[spec.name], warnings[spec.name])
            for spec in done
            if spec.name in after  # what stays as it is is not locked: it may have been deleted since
        ]
        if prune:
            jobs += [
                JobChange(name, "deleted", (FieldChange("tags", before[name]["tags"], None),))
                for name in orphans
            ]
        return Report(tuple(jobs), dry_run, () if prune else tuple(orphans))

    def _definitions(self, names: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The jobs of these names, and all that carry the mark."""
        cursor = self._conn.cursor(row_factory=dict_row)
        cursor.execute(
            "select j.name, to_jsonb(j) as job from scheduler.jobs j"
            " where j.name = any(%(names)s) or j.tags @> array[%(mark)s]::text[]",
            {"names": list(names), "mark": self._mark},
        )
        return {row["name"]: row["job"] for row in cursor}

    def _delete(self, job_id: Any) -> None:
        with suppress(psycopg.errors.NoDataFound), self._conn.transaction():  # another run was first
            self._conn.execute("select scheduler.delete_job(job_id => %s)", [job_id])

    def _owns(self, job: Mapping[str, Any]) -> bool:
        return self._mark in job["tags"]

    def _put(self, spec: JobSpec, old: Mapping[str, Any] | None, warnings: list[str]) -> bool:
        """Whether the database took the job; if not, the reason is among the problems."""
        # A job keeps the mark that it has. One made by hand gets none: it is never pruned.
        marks = [self._mark] if old is None or self._take_over else marks_of(old["tags"])
        own_tags = spec.arguments.get("tags")
        tags = [*(own_tags if isinstance(own_tags, list) else ()), *marks]
        arguments: dict[str, Any] = {"name": spec.name, **spec.arguments, "tags": tags}

        def handler(notice: psycopg.errors.Diagnostic) -> None:
            warnings.append(describe_notice(notice))

        self._conn.add_notice_handler(handler)
        try:
            with self._conn.transaction():
                row = self._conn.execute(_call("put_job", arguments), _adapt(arguments)).fetchone()
                if row is not None and spec.paused is not None:
                    function = "pause_job" if spec.paused else "resume_job"
                    self._conn.execute(_call(function, ["job_id"]), {"job_id": row[0]})
                if row is not None and old is not None and marks not in ([], [self._mark]):
                    self._check_agreement(row[0], old, marks)
        except _NOT_THE_JOBS_FAULT:
            raise
        except _DisagreementError as error:
            hint = "change it there"
            if self._mark.startswith("file:"):
                hint += ", or give it to this file with --take-over"
            self._refuse(spec, f'is managed by "{error}", which says otherwise', hint)
            return False
        except psycopg.Error as error:
            self._refuse_error(spec, error)
            return False
        finally:
            self._conn.remove_notice_handler(handler)
        return True

    def _check_agreement(self, job_id: Any, old: Mapping[str, Any], marks: Sequence[str]) -> None:
        # By its shard and id: with a look at all jobs for each of them a file of 5,000 took 78 s, now 17.
        query = (
            "select to_jsonb(j) from scheduler.jobs j"
            " where j.shard = scheduler.get_shard_id(%(id)s) and j.job_id = %(id)s"
        )
        for (new,) in self._conn.execute(query, {"id": job_id}):
            if _change(old["name"], old, new, ()).changes:
                raise _DisagreementError(marks[0])

    def _refuse(self, spec: JobSpec, what: str, hint: str | None, *, line: int | None = None) -> None:
        self.problems.append(Problem(line or spec.line, spec.name, what, hint))

    def _refuse_error(self, spec: JobSpec, error: psycopg.Error) -> None:
        diagnostic = error.diag
        message = diagnostic.message_primary or str(error)
        if diagnostic.message_detail:
            message += f" ({diagnostic.message_detail.rstrip('.')})"
        field = _blamed(spec, diagnostic.message_primary or "")
        hint = diagnostic.message_hint or (field and f"correct {field}")
        line = spec.lines.get(field) if field else None
        self._refuse(spec, message, hint.rstrip(".") if hint else None, line=line)


def _blamed(spec: JobSpec, message: str) -> str | None:
    """The attribute that an error of the database names, or whose value it quotes: it knows no lines."""
    words = re.split(r"[ \"']+", message)
    quoted = re.findall(r"[\"'](.*)[\"']", message)
    for field, value in spec.arguments.items():
        if field in words or (isinstance(value, str) and value in quoted):
            return field
    return None


def _call(function: str, arguments: Iterable[str]) -> sql.Composed:
    return sql.SQL("select scheduler.{}({})").format(
        sql.Identifier(function),
        sql.SQL(", ").join(
            sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in arguments
        ),
    )


def _adapt(arguments: Mapping[str, Any]) -> dict[str, Any]:
    documents = ("target", "payload")
    return {
        name: Jsonb(value, to_json) if name in documents and value is not None else value
        for name, value in arguments.items()
    }


def _change(
    name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any], warnings: Iterable[str]
) -> JobChange:
    # As text, as the database does: to Python 1.0 is 1.
    changes = tuple(
        FieldChange(field, before[field] if before else None, after[field])
        for field in COMPARED
        if to_json(before[field] if before else None) != to_json(after[field])
    )
    action: Literal["created", "updated", "unchanged"] = "unchanged" if not changes else "updated"
    return JobChange(name, "created" if before is None else action, changes, tuple(warnings))
