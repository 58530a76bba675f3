"""The rivals get what they need: on a server of the user's, and after an installation that was broken off."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from psycopg.conninfo import conninfo_to_dict

from loadtest import server
from loadtest.rivals import contestants, tools
from tests.conftest import Database


def test_a_half_made_environment_is_made_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is left by Ctrl-C during the first run; it was kept, and `No module named pip` for ever."""
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    ran: list[list[str]] = []
    monkeypatch.setattr(tools, "PYTHON", python)
    monkeypatch.setattr(tools, "_run", ran.append)
    tools.python.__wrapped__()
    assert [command[1:3] for command in ran] == [["-m", "venv"], ["-m", "pip"]]


def test_nobody_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    tools.node.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        click.ClickException, match=r"^nobody is left .*; pg-boss is left out: node and npm are"
    ):
        contestants.present(["pg-boss"], contestants.CONTESTANTS)


def test_why_npm_failed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "NODE", tmp_path)
    said = "npm error code EACCES\nnpm error A complete log of this run can be found in: x.log"
    with pytest.raises(tools.MissingError, match=r"failed: npm error code EACCES$"):
        tools._run(["sh", "-c", f"echo '{said}' >&2; exit 1"])


def test_a_server_is_found_that_only_the_environment_names(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rivals' drivers get a URL, which has to say all of it."""
    given = conninfo_to_dict(database.dsn(direct=True))
    for name in ("host", "port", "user", "password"):
        monkeypatch.setenv(f"PG{name.upper()}", str(given[name]))
    monkeypatch.setattr(server, "migrate", lambda _: None)
    with server._extra_database("dbname=postgres") as conninfo:
        url = contestants._url(conninfo)
    assert url.startswith(f"postgres://{given['user']}@127.0.0.1:{given['port']}/pgtick_bench_")
