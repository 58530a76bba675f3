"""Settings: every variable is known, typed, masked, and its origin told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.settings import SettingsError, list_settings, load_settings, mask, unknown_variables
from tests.support.cli import ROOT


def test_all_that_the_workers_read_is_known() -> None:
    read = set(
        re.findall(r'"(PGTICK_[A-Z_]+|DB_[A-Z_]+STRING|NODE_ID)"', (ROOT / "workers/settings.py").read_text())
    )
    known = {setting.name for setting in list_settings({})}
    assert len(read) > 10
    assert read <= known


def test_defaults_agree_with_the_workers() -> None:
    from workers.settings import load_settings as load_worker_settings

    theirs = load_worker_settings({"DB_WRITE_CONNECTION_STRING": "host=x"})
    ours = load_settings({})
    for name in (
        "concurrency",
        "lease_seconds",
        "beat_seconds",
        "grace_seconds",
        "poll_min_seconds",
        "poll_max_seconds",
    ):
        assert float(getattr(ours, name)) == getattr(theirs, name), name


def test_origin_and_mask(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_abc\n")
    environ = {
        "PGTICK_WEBHOOK_SECRET_FILE": str(secret),
        "DB_WRITE_CONNECTION_STRING": "postgresql://u:hunter2@h/d",
        "DB_READ_REPLICA_2": "host=r password=hunter2",
    }
    rows = {row.name: row for row in list_settings(environ)}
    assert (rows["PGTICK_WEBHOOK_SECRET"].value, rows["PGTICK_WEBHOOK_SECRET"].origin) == (
        "********",
        "PGTICK_WEBHOOK_SECRET_FILE",
    )
    assert rows["DB_WRITE_CONNECTION_STRING"].origin == "environment"
    assert (rows["PGTICK_CONCURRENCY"].value, rows["PGTICK_CONCURRENCY"].origin) == ("10", "default")
    assert "hunter2" not in repr(rows)
    assert load_settings(environ).replicas == ("host=r password=hunter2",)


def test_an_empty_variable_counts_as_none() -> None:
    assert load_settings({"DB_WRITE_CONNECTION_STRING": ""}).database is None


def test_replicas_are_those_that_have_a_value() -> None:
    environ = {"DB_READ_REPLICA_1": "", "DB_READ_REPLICA_02": "host=b", "DB_READ_REPLICA_10": "host=c"}
    environ |= {"DB_READ_REPLICA_x": "host=d", "DB_READ_REPLICA_3": "host=e"}
    assert load_settings(environ).replicas == ("host=b", "host=e", "host=c")


def test_mask_keeps_what_is_no_secret() -> None:
    assert mask("host=h dbname=d") == "host=h dbname=d"
    assert mask("postgresql://u:p@h/d") == "user=u password=******** dbname=d host=h"


def test_unknown_variables() -> None:
    assert unknown_variables(
        {"PGTICK_CONCURENCY": "1", "PGTICK_TEST_PG": "x", "PGTICK_HANDLERS_FILE": "x"}
    ) == ["PGTICK_CONCURENCY is not known: did you mean PGTICK_CONCURRENCY?"]
    assert unknown_variables({"PGTICK_XYZZY": "1"}) == ["PGTICK_XYZZY is not known"]


@pytest.mark.parametrize(
    "name", ["DB_WRITE_CONNECTION_STRING", "DB_READ_REPLICA_1", "PGTICK_SQL_CONNECTION_STRING"]
)
def test_a_malformed_connection_string_names_its_variable(name: str) -> None:
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings({name: "hunter2"})
    assert "hunter2" not in str(caught.value)
