"""Jobs of the database written as a file that applies back without a change."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import yaml
from psycopg.rows import dict_row

from app.jobfile_spec import DEFAULTS, MARKS, POLICIES, TARGET_KEYS, readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

    from app.jobfile_yaml import Json


class _Dumper(yaml.SafeDumper):
    """Writes what jobfile_yaml reads: no anchors, long text in blocks, texts like numbers in quotes."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (the base class names it)
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    # Line ends of Unicode, which only double quotes keep.
    if not {"\x85", "\u2028", "\u2029", "\ufeff"}.isdisjoint(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_number(dumper: yaml.SafeDumper, number: Decimal) -> yaml.ScalarNode:
    text = f"{number:f}"
    return dumper.represent_scalar(f"tag:yaml.org,2002:{'float' if '.' in text else 'int'}", text)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(Decimal, _represent_number)
# Numbers of YAML 1.2 that YAML 1.1, which the dumper knows, takes for text.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[.0-9]+([eE][-+]?[0-9]+)?$|0[ox][0-9a-fA-F]+$"), None
)


def export_jobs(conn: psycopg.Connection[Any], names: Sequence[str] | None = None) -> str:
    """A file of the jobs of these names, or of all."""
    with conn.transaction():
        conn.execute("select set_config('intervalstyle', 'postgres_verbose', true)")
        conn.execute("select set_config('timezone', 'UTC', true)")
        cursor = conn.cursor(row_factory=dict_row)
        cursor.execute(
            "select j.name, to_jsonb(j) as job from scheduler.jobs j"
            " where %(names)s::text[] is null or j.name = any(%(names)s) order by j.name",
            {"names": None if names is None else list(names)},
        )
        jobs = {row["name"]: row["job"] for row in cursor}
    return dump({"version": 1, "jobs": {name: _entry(job) for name, job in jobs.items()}})


def dump(document: Json) -> str:
    """The document as YAML that jobfile_yaml reads back as it is."""
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)


def _entry(job: Mapping[str, Any]) -> dict[str, Json]:
    job_type, target = job["job_type"], job["target"]
    short = target[TARGET_KEYS[job_type]] if list(target) == [TARGET_KEYS[job_type]] else target
    entry: dict[str, Json] = {} if job["schedule"] is None else {"schedule": job["schedule"]}
    entry[job_type] = short
    for field in ("payload", *POLICIES, "paused"):
        value = job[field]
        if field == "tags":
            value = [tag for tag in value if not tag.startswith(MARKS)]
        if value != DEFAULTS[field]:
            entry[field] = readable(field, value)
    return entry
