"""Finds what a person names on the command line."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click
from psycopg.rows import dict_row

from app.jobfile_problems import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg


def find_job(conn: psycopg.Connection[Any], name_or_id: str) -> dict[str, Any]:
    """The row of the job with this name, else with this id."""
    cursor = conn.cursor(row_factory=dict_row)
    row = cursor.execute("select * from scheduler.jobs where name = %s", [name_or_id]).fetchone()
    if row is None and (job_id := _as_id(name_or_id)) is not None:
        row = cursor.execute("select * from scheduler.jobs where job_id = %s", [job_id]).fetchone()
    if row is None:
        names = [found["name"] for found in cursor.execute("select name from scheduler.jobs order by name")]
        hint = nearest(name_or_id, names) if 0 < len(names) <= 20 else "see pgtick jobs list"
        raise click.ClickException(f'there is no job "{name_or_id}"; {hint}')
    return row


def _as_id(text: str) -> UUID | None:
    """The id that this is, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def with_times(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row that came as JSON, with its times as times. (As columns, psycopg refuses `infinity`.)"""
    return {
        name: datetime.fromisoformat(value)
        if name.endswith("_at") and isinstance(value, str) and value != "infinity"
        else value
        for name, value in row.items()
    }


def parse_json(_ctx: click.Context, _param: click.Parameter, text: str | None) -> object:
    """Reads an option that is a JSON document."""
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"not JSON: {error}; text needs quotes: '\"text\"'") from None
