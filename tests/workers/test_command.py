"""Commands: what goes in, what comes out, and that nothing of them stays behind."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.workers.support import Bench, appears, is_alive, make_execution, run_once, until
from workers import executions, processes
from workers.executions import Outcome, StopReason
from workers.executors.command import CommandExecutor
from workers.processes import Group, Keeper


@pytest.fixture
def executor(keeper: Keeper) -> CommandExecutor:
    return CommandExecutor(keeper)


async def run(executor: CommandExecutor, target: dict[str, Any], **changes: Any) -> Outcome:
    return await run_once(executor, make_execution("command", target, **changes))


def result(outcome: Outcome) -> dict[str, Any]:
    assert outcome.result is not None
    document: dict[str, Any] = json.loads(outcome.result)
    return document


async def test_shell_line(executor: CommandExecutor) -> None:
    outcome = await run(executor, {"shell": "echo out; echo err >&2"})
    assert outcome.status == "succeeded"
    assert result(outcome) == {"exit_code": 0, "stdout": "out\n", "stderr": "err\n", "dropped_bytes": 0}


async def test_argument_list_meets_no_shell(executor: CommandExecutor) -> None:
    outcome = await run(executor, {"args": ["echo", "$HOME; id"]})
    assert result(outcome)["stdout"] == "$HOME; id\n"


async def test_exit_status_fails_with_the_last_line(executor: CommandExecutor) -> None:
    outcome = await run(executor, {"shell": "echo first >&2; echo 'disk full' >&2; exit 3"})
    assert outcome.status == "failed"
    assert outcome.error == {"type": "exit_status", "message": "the command exited with status 3: disk full"}
    assert result(outcome)["exit_code"] == 3


async def test_signal_is_named(executor: CommandExecutor) -> None:
    outcome = await run(executor, {"shell": "kill -KILL $$"})
    assert outcome.error is not None
    assert outcome.error["message"] == "the command was killed by SIGKILL"


@pytest.mark.parametrize(
    "target",
    [
        {"args": ["no-such-program"]},
        {"args": ["/etc/passwd"]},
        {"args": ["true", "x" * 200_000]},
        {"args": ["true"], "cwd": "/no/such/folder"},
    ],
)
async def test_what_cannot_start_is_not_retried(executor: CommandExecutor, target: dict[str, Any]) -> None:
    outcome = await run(executor, target)
    assert outcome.error is not None
    assert outcome.error["type"] == "cannot_start"
    assert outcome.error["retry"] is False


async def test_program_that_is_being_replaced_is_retried(executor: CommandExecutor, tmp_path: Path) -> None:
    program = tmp_path / "program"
    shutil.copy("/bin/true", program)
    with program.open("r+b"):
        outcome = await run(executor, {"args": [str(program)]})
    assert outcome.error is not None
    assert outcome.error["type"] == "cannot_start"
    assert "retry" not in outcome.error
    assert (await run(executor, {"args": [str(program)]})).status == "succeeded"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM])
async def test_what_the_system_lacks_for_now_is_retried(
    executor: CommandExecutor, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    async def lacks(*_: object, **__: object) -> Group:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Group, "spawn", lacks)
    outcome = await run(executor, {"args": ["true"]})
    assert outcome.error is not None
    assert "retry" not in outcome.error


async def test_environment_is_minimal(executor: CommandExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_WRITE_CONNECTION_STRING", "secret")
    outcome = await run(executor, {"args": ["env"], "env": {"COLOUR": "blue", "LANG": "C"}}, attempt=2)
    lines = result(outcome)["stdout"].splitlines()
    assert "COLOUR=blue" in lines
    assert "LANG=C" in lines
    assert "PGTICK_ATTEMPT=2" in lines
    assert any(line.startswith("PATH=/") for line in lines)
    assert not any("secret" in line for line in lines)


@pytest.mark.parametrize(
    ("target", "payload", "expected"),
    [
        ({"args": ["cat"], "stdin": "text"}, {"n": 1}, "text"),
        ({"args": ["cat"]}, {"n": 1}, '{"n": 1}'),
        ({"args": ["cat"]}, None, ""),
    ],
)
async def test_stdin(executor: CommandExecutor, target: dict[str, Any], payload: Any, expected: str) -> None:
    assert result(await run(executor, target, payload=payload))["stdout"] == expected


async def test_unread_stdin_is_no_failure(executor: CommandExecutor) -> None:
    outcome = await run(executor, {"args": ["true"], "stdin": "x" * 1_000_000})
    assert outcome.status == "succeeded"


async def test_binary_output_keeps_its_exit_code(executor: CommandExecutor) -> None:
    outcome = await run(executor, {"shell": "head -c 48K /dev/urandom; head -c 48K /dev/zero >&2; exit 7"})
    assert result(outcome)["exit_code"] == 7
    assert len((outcome.result or "").encode()) < 65_536


@pytest.mark.slow
async def test_gigabyte_of_output_keeps_head_and_tail(executor: CommandExecutor) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcome = await run(executor, {"shell": "echo first; head -c 1G /dev/zero | tr '\\0' x; echo; echo last"})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KB
    document = result(outcome)
    assert document["stdout"].startswith("first\nxxx")
    assert document["stdout"].endswith("xxx\nlast\n")
    assert document["dropped_bytes"] > 1_000_000_000
    assert len(outcome.result or "") < 65_536


@pytest.mark.slow
async def test_ignored_sigterm_is_killed_with_its_grandchild(
    executor: CommandExecutor, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    # Its input ends when the run follows it; stopped before that, it would be killed without a grace.
    line = (
        "read -r _; trap '' TERM; (trap '' TERM; sleep 600) & "
        f"echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait; wait"
    )
    bench = Bench(executor, make_execution("command", {"shell": line}))
    grandchild, leader = map(int, (await appears(pids)).split())
    begun = time.monotonic()
    await bench.stop("timeout")
    assert time.monotonic() - begun > 4
    assert not is_alive(leader)
    await until(lambda: not is_alive(grandchild))


async def test_run_that_is_stopped_while_it_starts_leaves_nothing(
    executor: CommandExecutor, tmp_path: Path
) -> None:
    """At every point of its first moments; a child of its own would hold the pipes open."""
    pids = tmp_path / "pids"
    line = f"(sleep 600) & echo $! >> {pids}; wait"
    for milliseconds in range(30):
        bench = Bench(executor, make_execution("command", {"shell": line}))
        await asyncio.sleep(milliseconds / 1000)
        await bench.stop("lost")
    for pid in map(int, pids.read_text().split()):
        await until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


async def test_polite_command_ends_with_sigterm(executor: CommandExecutor, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    bench = Bench(executor, make_execution("command", {"shell": f"echo $$ > {pid}; exec sleep 600"}))
    await appears(pid)
    begun = time.monotonic()
    await bench.stop("cancelled")
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    ("reason", "stdout"), [("timeout", "begun\nleft\n"), ("cancelled", "begun\nleft\n"), ("lost", None)]
)
async def test_what_is_stopped_leaves_its_output(
    executor: CommandExecutor, tmp_path: Path, reason: StopReason, stdout: str | None
) -> None:
    """Also what it says when it is asked to end; who has lost the execution has no say in it."""
    line = f"trap 'echo left; exit 9' TERM; echo begun; echo x > {tmp_path}/file; sleep 600 & wait"
    bench = Bench(executor, make_execution("command", {"shell": line}))
    await appears(tmp_path / "file")
    await bench.stop(reason)
    if stdout is None:
        assert bench.run.result is None
    else:
        document = json.loads(bench.run.result or "")
        assert document == {"exit_code": 9, "stdout": stdout, "stderr": "", "dropped_bytes": 0}


@pytest.mark.parametrize("reason", ["timeout", "lost"])
async def test_command_that_became_another_user_does_not_hold_the_run(
    executor: CommandExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: StopReason
) -> None:
    """It can neither be asked to end nor be killed."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(processes, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(executions, "KILL_GRACE_SECONDS", 0.1)
    file = tmp_path / "pid"
    bench = Bench(executor, make_execution("command", {"shell": f"echo $$ > {file}; exec sleep 600"}))
    pid = int(await appears(file))
    with monkeypatch.context() as other_user:
        other_user.setattr(os, "killpg", refuse)
        other_user.setattr(os, "kill", refuse)
        async with asyncio.timeout(15):
            await bench.stop(reason)
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not Path(f"/proc/{pid}").exists())
    # asyncio hears of it from a thread of its own, up to Python 3.11, and must before its loop is closed.
    await until(lambda: not any(t.name.startswith("asyncio-waitpid") for t in threading.enumerate()))


async def test_grandchild_that_holds_the_pipes_does_not_hold_the_run(
    executor: CommandExecutor, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    begun = time.monotonic()
    outcome = await run(executor, {"shell": f"sleep 600 & echo $! > {pid}; echo done"})
    assert time.monotonic() - begun < 60
    assert result(outcome)["stdout"] == "done\n"
    await until(lambda: not is_alive(int(pid.read_text())))


async def test_daemon_that_leaves_the_group_does_not_hold_the_run(
    executor: CommandExecutor, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    line = f"setsid sh -c 'echo $$ > {pid}; exec sleep 20' & while [ ! -s {pid} ]; do :; done; echo done"
    begun = time.monotonic()
    outcome = await run(executor, {"shell": line})
    assert time.monotonic() - begun < 15
    assert result(outcome)["stdout"] == "done\n"
