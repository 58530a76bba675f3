"""Whatever the file, the answer is a report or a list of problems, and nothing half-done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import Connection

from app.crontab import import_crontab
from app.jobfile import apply_file
from app.jobfile_export import dump
from app.jobfile_problems import JobFileError
from app.jobfile_spec import POLICIES, TARGET_KEYS
from tests.files.support import writes_of

# The database stays as it is from one example to the next: all of them are dry runs.
SHARED = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# fmt: off
WORDS = st.sampled_from([
    "", "UTC", "europe/berlin", "every 5 minutes", "* * * * *", "0 0 31 2 *", "skip", "linear", "90 seconds",
    "-1 day", "1e9 years", "2026-01-01T00:00Z", "294277-01-01 00:00Z", "default", "a\nb", "\x1b[1m",
    "x" * 300,
])
# fmt: on
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.decimals(-(10**40), 10**40)
    | WORDS
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from([*TARGET_KEYS, *POLICIES, "schedule", "payload", "paused", "sql", "sql", "schedule"])
JOBS = st.dictionaries(WORDS, st.dictionaries(KEYS, VALUES, max_size=4) | VALUES, max_size=4)
FILES = st.fixed_dictionaries(
    {"version": st.just(1), "jobs": JOBS}, optional={"defaults": st.dictionaries(KEYS, VALUES, max_size=2)}
)

FIELDS = st.sampled_from(
    ["*", "*/5", "0", "1-5", "mon", "61", "5/15", "~", "1~3", "L", "*/0", "7", "30", "31", "2"]
)
SCHEDULES = st.lists(FIELDS, min_size=4, max_size=6).map(" ".join) | st.sampled_from(
    ["@daily", "@reboot", "@x"]
)
COMMANDS = st.text(st.characters(exclude_characters="\n"), max_size=30)
ENTRIES = st.tuples(SCHEDULES, st.sampled_from([" ", "\t", " root "]), COMMANDS).map("".join)
VARIABLES = st.tuples(st.sampled_from(["A", "CRON_TZ", "SHELL", "HOME", "MAILTO"]), COMMANDS).map("=".join)


@SHARED
@given(document=FILES)
def test_any_job_file(db: Connection[Any], tmp_path: Path, document: Any) -> None:
    path = tmp_path / "jobs.yaml"
    path.write_text(dump(document), encoding="utf-8")
    before = writes_of(db)
    try:
        report = apply_file(db, path, dry_run=True)
        lines = [change.name for change in report.jobs]
        assert len(lines) == len(document["jobs"])
    except JobFileError as error:
        lines = [problem.render("f") for problem in error.problems]
    assert all(line.isprintable() for line in lines)
    assert lines or not document["jobs"]
    assert writes_of(db) == before


@SHARED
@given(lines=st.lists(ENTRIES | VARIABLES, max_size=6), system=st.sampled_from([True, False, None]))
def test_any_crontab(db: Connection[Any], lines: list[str], system: bool | None) -> None:
    data = "".join(f"{line}\n" for line in lines).encode(errors="surrogatepass")
    before = writes_of(db)
    report = import_crontab(db, data, system=system, queue_per_user=True, dry_run=True)
    refused = {remark.line for remark in report.remarks if remark.refused}
    assert refused.isdisjoint(report.taken)
    assert len(report.jobs.jobs) == len(report.taken)
    for number, line in enumerate(lines, start=1):
        if "=" not in line and line.strip() and not line.lstrip(" \t").startswith("#"):
            assert number in refused or number in report.taken
    assert writes_of(db) == before
