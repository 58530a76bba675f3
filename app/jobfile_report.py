"""A report as lines for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.documents import to_json
from app.jobfile_problems import printable
from app.jobfile_spec import DEFAULTS, MARKS, marks_of, readable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.jobfile_sync import JobChange, Report
    from app.jobfile_yaml import Json

_SIGNS = {"created": "+", "updated": "~", "deleted": "-"}


def report_lines(report: Report) -> Iterator[str]:
    """The report as lines: a block for each job that changes, then the sum."""
    for job in report.jobs:
        yield from map(printable, _job_lines(job))
    for name in report.orphans:
        yield f"? {name}: this file made it and no longer names it; --prune deletes it"
    counts = [f"{report.count(action)} {action}" for action in ("created", "updated", "unchanged", "deleted")]
    yield ("dry run, nothing was written: " if report.dry_run else "") + ", ".join(counts)


def _job_lines(job: JobChange) -> Iterator[str]:
    if job.action in _SIGNS:
        yield f"{_SIGNS[job.action]} {job.name}"
    for change in job.changes:
        before, after = _show(change.field, change.before), _show(change.field, change.after)
        managers = _managers(change.before), _managers(change.after)
        if job.action in ("updated", "deleted") and change.field == "tags" and managers[0] != managers[1]:
            yield f"    managed by: {managers[0]} -> {managers[1]}"
        if job.action == "updated" and before != after:
            yield f"    {change.field}: {before} -> {after}"
        elif job.action == "created" and after != _show(change.field, DEFAULTS.get(change.field)):
            yield f"    {change.field}: {after}"
    for warning in job.warnings:
        yield f"! {job.name}: {warning}"


def _managers(tags: Json) -> str:
    return ", ".join(marks_of(map(str, tags)) if isinstance(tags, list) else ()) or "none"


def _show(field: str, value: Json) -> str:
    value = readable(field, value)
    if field == "target" and isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if field == "tags" and isinstance(value, list):
        value = [tag for tag in value if not str(tag).startswith(MARKS)]
    return "none" if value is None else to_json(value)
