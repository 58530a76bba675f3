"""Finds what a person names on the command line."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from app.documents import from_json, to_json
from app.jobfile_problems import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

NOT_GIVEN = object()


def find_job(conn: psycopg.Connection[Any], name_or_id: str, *, deleted: bool = False) -> dict[str, Any]:
    """The job with this name, else with this id: its row as JSON; of one that was deleted only its id."""
    query = "select to_jsonb(j) from scheduler.jobs j where j.name = %s"
    row = conn.execute(query, [name_or_id]).fetchone()
    if row is None and (job_id := _as_id(name_or_id)) is not None:
        query = "select to_jsonb(j) from scheduler.jobs j where j.job_id = %s"
        row = conn.execute(query, [job_id]).fetchone()
    if row is None and deleted:
        row = _find_deleted(conn, name_or_id)
    if row is None:
        names = [name for (name,) in conn.execute("select name from scheduler.jobs order by name")]
        hint = nearest(name_or_id, names) if 0 < len(names) <= 20 else "see pgtick jobs list"
        raise click.ClickException(f'there is no job "{name_or_id}"; {hint}')
    found: dict[str, Any] = row[0]
    return found


def _find_deleted(conn: psycopg.Connection[Any], name_or_id: str) -> tuple[Any, ...] | None:
    """The id of a job that was deleted, where this login may read the audit log."""
    from psycopg.errors import InsufficientPrivilege

    query = (
        "select jsonb_build_object('job_id', a.object_id) from scheduler.audit_log a"
        " where a.action = 'delete_job' and (a.object_name = %s or a.object_id = %s)"
        " order by a.audit_id desc limit 1"
    )
    with suppress(InsufficientPrivilege):
        return conn.execute(query, [name_or_id, _as_id(name_or_id)]).fetchone()
    return None


def _as_id(text: str) -> UUID | None:
    """The id that this is, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def with_times(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that came as JSON, its times as times.

    As columns psycopg would refuse those that Python does not have: infinity, and years of five digits.
    """
    return {name: _time(value) if name.endswith("_at") else value for name, value in row.items()}


def _time(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def parse_json(_ctx: click.Context, _param: click.Parameter, text: str | None) -> object:
    """Reads an option that is a JSON document, which may be null; NOT_GIVEN where there is none."""
    if text is None:
        return NOT_GIVEN
    try:
        value = from_json(text)
        to_json(value)  # there is none of half a surrogate pair
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}; text needs quotes: '\"text\"'") from None
    return value
