"""Child processes in groups of their own: begun, watched over by the keeper, and ended whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

from workers import keeper
from workers.keeper import kill_group

KILL_SECONDS = 2.0
"""What is not gone so long after its kill is left behind: it may have become another user's."""


class Keeper:
    """The worker's side of the keeper process (see workers.keeper); usable from every thread."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._process = self._start()

    def add(self, group: int) -> None:
        """Have a group killed should this process die or freeze."""
        with self._lock:
            self._groups.add(group)
            self._tell(f"+ {group}")

    def remove(self, group: int) -> None:
        """Forget a group that has ended."""
        with self._lock:
            self._groups.discard(group)
            self._tell(f"- {group}")

    def lease_until(self, time: float) -> None:
        """Have all groups killed at that time (keeper.now()) unless a later one is told by then."""
        with self._lock:
            self._tell(f"lease {time}")

    def close(self) -> None:
        """Kill what is left, and the keeper with it."""
        with self._lock:
            self._process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", keeper.__file__], stdin=subprocess.PIPE, start_new_session=True
        )

    def _tell(self, order: str) -> None:
        try:
            self._write(order)
        except BrokenPipeError:  # the keeper itself was killed
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate()
            self._process = self._start()
            for line in (*(f"+ {group}" for group in self._groups), order):
                self._write(line)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for mypy
        os.write(self._process.stdin.fileno(), line.encode() + b"\n")  # under PIPE_BUF: whole or not at all


class _Protocol(asyncio.subprocess.SubprocessStreamProtocol):
    """Tells when the process itself has ended; asyncio's wait() waits for all who hold its pipes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(limit=65_536, loop=loop)
        self.exited: asyncio.Future[None] = loop.create_future()

    def process_exited(self) -> None:
        super().process_exited()
        if not self.exited.done():
            self.exited.set_result(None)


class Group:
    """A child process that leads its own process group."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol, keeper: Keeper) -> None:
        self._transport = transport
        self._protocol = protocol
        self._keeper = keeper
        self.pid = transport.get_pid()

    @classmethod
    async def spawn(
        cls,
        args: Sequence[str],
        *,
        keeper: Keeper,
        stdin: int,
        stdout: int,
        stderr: int,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        pass_fds: Sequence[int] = (),
    ) -> Group:
        """Start a program as the leader of a session and process group of its own."""
        loop = asyncio.get_running_loop()

        async def begin() -> Group:
            transport, protocol = await loop.subprocess_exec(
                lambda: _Protocol(loop),
                *args,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=cwd,
                pass_fds=pass_fds,
                start_new_session=True,
            )
            keeper.add(transport.get_pid())
            return cls(transport, protocol, keeper)

        beginning = asyncio.create_task(begin())
        try:
            # Shielded: cancelled in the middle, asyncio would kill the leader alone and wait for all who hold
            # its pipes.
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            beginning.add_done_callback(_abandon)
            await asyncio.wait({beginning})  # the caller closes what it passes on only after the fork
            raise

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """The leader's standard input, where it is a pipe."""
        assert self._protocol.stdin is not None  # noqa: S101
        return self._protocol.stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        """The leader's standard output, where it is a pipe."""
        assert self._protocol.stdout is not None  # noqa: S101
        return self._protocol.stdout

    @property
    def stderr(self) -> asyncio.StreamReader:
        """The leader's standard error, where it is a pipe."""
        assert self._protocol.stderr is not None  # noqa: S101
        return self._protocol.stderr

    @property
    def returncode(self) -> int | None:
        """How the leader has ended; None while it has not."""
        return self._transport.get_returncode()

    async def wait(self) -> int:
        """Wait until the leader has ended, and return how."""
        await asyncio.shield(self._protocol.exited)
        returncode = self._transport.get_returncode()
        assert returncode is not None  # noqa: S101 - it has ended
        return returncode

    async def end(self, *, grace_seconds: float) -> None:
        """Ask the whole group to end, and kill what has not after the grace."""
        try:
            if grace_seconds > 0 and self._transport.get_returncode() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(grace_seconds):
                        await self.wait()
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Kill what is left of the group: the leader, if it runs, and everything that it started."""
        kill_group(self.pid)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KILL_SECONDS):
                    await self.wait()
        finally:
            self._keeper.remove(self.pid)

    def close(self) -> None:
        """Let go of the pipes, which a process that left the group may hold open."""
        with contextlib.suppress(PermissionError):  # it kills the leader, too
            self._transport.close()

    def abandon(self) -> None:
        """Kill the group without waiting for its end."""
        kill_group(self.pid)
        self._keeper.remove(self.pid)
        self.close()


def _abandon(beginning: asyncio.Task[Group]) -> None:
    """End a group that nobody waits for any more, as soon as it has begun."""
    if beginning.cancelled() or beginning.exception() is not None:
        return
    beginning.result().abandon()


def describe_exit(returncode: int) -> str:
    """Say how a process ended."""
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"
