"""How the commands end: by a line, before work that would be lost, and with nothing left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import loadtest.__main__
import loadtest.rivals.__main__
from loadtest import bench_api, bench_flat, bench_outage, load
from loadtest.api_server import need
from loadtest.command import Output
from loadtest.rivals import firing
from tests.support.cli import environment
from tests.support.program import wait_until

# Takes a moment to stop what it has started.
BENCHMARK = """
import time, click
from pathlib import Path
from loadtest.command import main

@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
def bench(folder):
    try:
        (folder / "began").touch()
        time.sleep(60)
    finally:
        (folder / "stopping").touch()
        time.sleep(0.5)
        (folder / "stopped").touch()

main(bench, "bench")
"""
WRITERS = [loadtest.__main__.bench, loadtest.rivals.__main__.bench, bench_flat.bench, firing.bench]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_it_in_order(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """And those that come after do not end the end: make and `timeout` send another, people are impatient."""
    command = [sys.executable, "-c", BENCHMARK, str(tmp_path)]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        wait_until((tmp_path / "began").exists, "a beginning")
        process.send_signal(number)
        wait_until((tmp_path / "stopping").exists, "an end")
        process.send_signal(number)
        assert (process.communicate()[1].strip(), process.returncode) == ("", code)
    assert (tmp_path / "stopped").exists()


@pytest.mark.parametrize("command", WRITERS)
def test_what_cannot_be_written_is_said_at_once(tmp_path: Path, command: click.Command) -> None:
    done = CliRunner().invoke(command, ["--json", str(tmp_path / "missing" / "x.json")])
    assert done.exit_code == 2
    assert f"{tmp_path}/missing/x.json: No such file or directory" in done.stderr


def test_what_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    """The files of the last run stay until there are new ones."""
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("{}")
    for path in (new, old):
        Output().convert(str(path), None, None)
    assert (new.exists(), old.read_text()) == (False, "{}")


def test_a_loop_without_a_slice_is_refused() -> None:
    done = CliRunner().invoke(bench_flat.bench, ["--seconds", "2"])
    assert done.exit_code == 2
    assert "--slice is longer" in done.stderr


def test_a_load_that_is_over_before_the_herd_comes_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        load.load, ["mixed", "herd", "--seconds", "10", "--report", str(tmp_path / "x")]
    )
    assert done.exit_code == 2
    assert "herd takes more than 10 s" in done.stderr


@pytest.mark.parametrize("command", [bench_api.bench_api, bench_outage.bench_outage])
def test_help_measures_nothing(command: click.Command) -> None:
    assert CliRunner().invoke(command, ["--help"]).stdout.startswith("Usage: ")


def test_a_missing_program_is_named() -> None:
    with pytest.raises(click.ClickException, match=r"^nginxx is missing: apt-get install nginxx$"):
        need("nginxx")
