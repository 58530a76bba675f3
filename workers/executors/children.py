"""The worker's side of the child processes in which Python handlers run (see workers.executors.child)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from typing import Any

from workers.documents import HeadTail
from workers.processes import Group, Keeper, describe_exit

READY_SECONDS = 60.0
CLOSE_SECONDS = 1.0
OUTPUT_BYTES = 16_384
# More than a pipe holds; not until it is empty, because a fork of the handler could fill it for ever.
PIPE_READS = 16
MAX_FRAME_BYTES = 4 * 1024 * 1024


class ChildDiedError(Exception):
    """The child ended, or stopped speaking our language, while it should have answered."""


class Output:
    """What a child writes to stdout and stderr, read as it comes and capped."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._kept = HeadTail(limit_bytes=OUTPUT_BYTES)
        asyncio.get_running_loop().add_reader(self._reading, self._read)

    def take(self) -> str:
        """Return what came since the last call, all of it that is already in the pipe."""
        for _ in range(PIPE_READS):
            if not self._read():
                break
        kept, self._kept = self._kept, HeadTail(limit_bytes=OUTPUT_BYTES)
        return kept.text()

    def close(self) -> None:
        """Stop reading."""
        asyncio.get_running_loop().remove_reader(self._reading)
        os.close(self._reading)

    def _read(self) -> bool:
        """Read one piece, so that a flood leaves the loop time for others."""
        try:
            data = os.read(self._reading, 65_536)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
        self._kept.write(data)
        return bool(data)


class Child:
    """One child process."""

    def __init__(
        self, group: Group, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, output: Output
    ) -> None:
        self._group = group
        self._reader = reader
        self._writer = writer
        self._exit = asyncio.create_task(group.wait())
        self._coming: asyncio.Task[dict[str, Any]] | None = None
        self.output = output

    @classmethod
    async def spawn(cls, modules: Sequence[str], *, keeper: Keeper) -> Child:
        """Start a child and wait until it has loaded its handlers."""
        ours, theirs = socket.socketpair()
        output = Output()
        try:
            # -P: ours, whatever the current folder has.
            python = (sys.executable, "-P", "-m")
            group = await Group.spawn(
                [*python, "workers.executors.child", str(theirs.fileno()), *modules],
                keeper=keeper,
                stdin=DEVNULL,
                stdout=output.writing,
                stderr=output.writing,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            ours.close()
            output.close()
            raise
        finally:
            theirs.close()
            os.close(output.writing)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours)
        except BaseException:
            group.abandon()
            ours.close()
            output.close()
            raise
        child = cls(group, reader, writer, output)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await child.receive()
        except (ChildDiedError, TimeoutError) as error:
            last_line = output.take().strip().rpartition("\n")[2]
            await child.kill()
            reason = last_line or str(error) or f"not ready in {READY_SECONDS:g} s"
            raise ChildDiedError(f"no process for handlers: {reason}") from None
        except BaseException:
            await child.kill()
            raise
        return child

    @property
    def alive(self) -> bool:
        """Whether it can take another execution."""
        return not self._exit.done() and not self._reader.at_eof()

    async def send(self, frame: dict[str, Any]) -> None:
        """Send one frame."""
        data = json.dumps(frame).encode()
        with contextlib.suppress(ConnectionError):  # receive() finds out what happened
            self._writer.write(len(data).to_bytes(4, "big") + data)
            await self._writer.drain()

    async def receive(self) -> dict[str, Any]:
        """Wait for the next frame, or for the child's end: a fork of it could keep the socket open."""
        # Who is cancelled leaves it to the next call: it may have come, or half of it.
        if self._coming is None:
            self._coming = asyncio.create_task(self._frame())
        frame = self._coming
        await asyncio.wait({frame, self._exit}, return_when=asyncio.FIRST_COMPLETED)
        if not frame.done():
            await asyncio.wait({frame}, timeout=0.1)  # its last words may still be on the way
        if frame.done():
            self._coming = None
            if frame.exception() is None:
                return frame.result()
        if not self._exit.done():
            await asyncio.wait({self._exit}, timeout=CLOSE_SECONDS)
        if self._exit.done():
            raise ChildDiedError(describe_exit(self._exit.result()))
        raise ChildDiedError("closed its connection to the worker")

    async def kill(self) -> None:
        """Kill the child and everything that it started."""
        if self._coming is not None:
            self._coming.cancel()
        self._writer.close()
        await self._group.kill()
        self._group.close()
        self.output.close()

    async def _frame(self) -> dict[str, Any]:
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if length > MAX_FRAME_BYTES:
            raise ChildDiedError("sent garbage to the worker")
        frame = json.loads(await self._reader.readexactly(length))
        if not isinstance(frame, dict) or "kind" not in frame:
            raise ChildDiedError("sent garbage to the worker")
        return frame


class ChildPool:
    """Warm children: taken for one execution, put back if they behaved."""

    def __init__(self, modules: Sequence[str], *, keeper: Keeper) -> None:
        self._modules = modules
        self._keeper = keeper
        self._idle: list[Child] = []

    async def warm(self) -> None:
        """Start the first child, so that the first execution does not wait for it."""
        self._idle.append(await Child.spawn(self._modules, keeper=self._keeper))

    async def take(self) -> Child:
        """Return a child that waits for work, the one used last: those not needed stay swapped out."""
        while self._idle:
            child = self._idle.pop()
            if child.alive:
                return child
            await child.kill()
        return await Child.spawn(self._modules, keeper=self._keeper)

    def put_back(self, child: Child) -> None:
        """Keep a child for the next execution."""
        self._idle.append(child)

    async def close(self) -> None:
        """End the children that wait for work."""
        idle, self._idle = self._idle, []
        for child in idle:
            await child.kill()
