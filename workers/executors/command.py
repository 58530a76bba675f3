"""Commands: an argument list or a shell line in its own process group, the output captured and capped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from typing import Any

from workers.documents import HeadTail, to_json
from workers.executions import URGENT, Execution, Outcome, Run, failed
from workers.processes import Group, Keeper, describe_exit

STREAM_BYTES = 24_576
"""Kept of stdout and of stderr each, escapes of JSON included: so the result stays under 64 KB."""

MARK_BYTES = 64
"""Room for the line that says how much was left out."""

# What a program needs to find its way; nothing else of the worker's environment, which holds its passwords.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR")

# What is wrong with the target, as is what has no number. All else may pass: the system lacks something for
# now, or the program is being replaced.
LASTING_ERRORS = frozenset(
    (
        None,
        errno.E2BIG,
        errno.EACCES,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOEXEC,
        errno.ENOTDIR,
        errno.EPERM,
    )
)

# A process that left its group can keep the pipes open for ever.
PIPE_CLOSE_SECONDS = 1.0


class CommandExecutor:
    """Runs programs on the worker's machine, as the worker's user."""

    available = True

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    async def start(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to let go of: a command belongs to its run."""

    async def run(self, run: Run) -> Outcome:
        """Run the command; an exit status other than 0 is a failure."""
        execution = run.execution
        target: dict[str, Any] = execution.target
        args = target["args"] if "args" in target else ["/bin/sh", "-c", target["shell"]]
        env = environment(execution, target.get("env", {}))
        # Looked up in the PATH that the program will have; without it in the list, the worker's would be
        # searched.
        program = shutil.which(args[0], path=env.get("PATH")) if "/" not in args[0] else args[0]
        try:
            if program is None:
                raise FileNotFoundError(f"no program {args[0]!r} in PATH")
            group = await Group.spawn(
                [program, *args[1:]],
                keeper=self._keeper,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env=env,
                cwd=target.get("cwd"),
            )
        except (OSError, ValueError) as error:
            lasting = getattr(error, "errno", None) in LASTING_ERRORS
            return failed("cannot_start", f"the command cannot be started: {error}", retry=not lasting)
        return await _follow(group, run, _input(execution))


def environment(execution: Execution, given: Mapping[str, str]) -> dict[str, str]:
    """Make the environment of a command: a minimal base, the execution's data, then what the target gives."""
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    env |= {
        "PGTICK_EXECUTION_ID": str(execution.execution_id),
        "PGTICK_ATTEMPT": str(execution.attempt),
        "PGTICK_JOB_NAME": execution.job_name or "",
        "PGTICK_FIRE_AT": execution.fire_at.isoformat() if execution.fire_at else "",
    }
    if execution.traceparent:
        env["TRACEPARENT"] = execution.traceparent
    return env | dict(given)


def _input(execution: Execution) -> bytes:
    if "stdin" in execution.target:
        return str(execution.target["stdin"]).encode()
    return (execution.payload or "").encode()


async def _follow(group: Group, run: Run, stdin: bytes) -> Outcome:
    out, err = HeadTail(limit_bytes=STREAM_BYTES), HeadTail(limit_bytes=STREAM_BYTES)
    pipes = [
        asyncio.create_task(_feed(group.stdin, stdin)),
        asyncio.create_task(_collect(group.stdout, out)),
        asyncio.create_task(_collect(group.stderr, err)),
    ]
    try:
        returncode = await group.wait()
        # What the command left running in its group ends with it, and lets go of the pipes.
        await group.kill()
        await asyncio.wait(pipes, timeout=PIPE_CLOSE_SECONDS)
    except asyncio.CancelledError:
        await group.end(grace_seconds=run.kill_grace_seconds)
        if run.stop_reason not in URGENT:  # then nobody is to hear of this attempt
            await asyncio.wait(pipes, timeout=PIPE_CLOSE_SECONDS)
            run.result = _result(group.returncode, out, err)
        raise
    finally:
        for pipe in pipes:
            pipe.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        group.close()
    result = _result(returncode, out, err)
    if returncode == 0:
        return Outcome(status="succeeded", result=result)
    last = (err.text().strip() or out.text().strip()).rpartition("\n")[2][:500]
    message = f"the command {describe_exit(returncode)}" + (f": {last}" if last else "")
    return failed("exit_status", message, result=result)


def _result(returncode: int | None, out: HeadTail, err: HeadTail) -> str:
    for stream in (out, err):
        stream.fit(STREAM_BYTES + MARK_BYTES)
    return to_json(
        {
            "exit_code": returncode,
            "stdout": out.text(),
            "stderr": err.text(),
            "dropped_bytes": out.dropped_bytes + err.dropped_bytes,
        }
    )


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    # A command that does not read its input is no failure.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(data)
        await stdin.drain()
    stdin.close()


async def _collect(stream: asyncio.StreamReader, into: HeadTail) -> None:
    while data := await stream.read(65_536):
        into.write(data)
