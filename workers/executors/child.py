"""The child process in which Python handlers run: one execution at a time, for as long as it behaves.

Frames of JSON, each after its length in four bytes, go over a socket pair. A thread reads them, so that a
cancellation arrives while the handler runs; when the worker is gone, it ends the whole process group.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from workers.documents import DocumentError, clip, to_capped_json
from workers.registry import Context, Handler, HandlerError, Permanent, RetryAfter, load_handlers

TRACEBACK_CHARACTERS = 16_384
MESSAGE_CHARACTERS = 4_096
PROGRESS_BYTES = 8_192


def describe_result(value: Any) -> dict[str, Any]:
    """Say in a frame what a handler returned; nothing is no result, and not JSON's null."""
    try:
        result = None if value is None else to_capped_json(value)
    except DocumentError as error:  # the work is done: another attempt would do it twice
        frame = describe_exception(error)
        frame["error"]["retry"] = False
        return frame
    return {"kind": "done", "result": result}


def describe_exception(error: BaseException) -> dict[str, Any]:
    """Turn what a handler raised into the frame that says so."""
    try:
        if isinstance(error, SystemExit):
            message = f"the handler called sys.exit({error.code!r})"
        else:
            message = str(error) or type(error).__name__
    except BaseException:
        message = f"{type(error).__name__}, which cannot be printed"
    frame: dict[str, Any] = {
        "kind": "failed",
        "error": {
            "type": type(error).__name__,
            "message": clip(message, limit=MESSAGE_CHARACTERS),
            "traceback": clip("".join(traceback.format_exception(error)), limit=TRACEBACK_CHARACTERS),
        },
    }
    if isinstance(error, Permanent):
        frame["error"]["retry"] = False
    if isinstance(error, RetryAfter):
        frame["retry_after"] = error.seconds
    return frame


def is_spent(error: BaseException) -> bool:
    """Whether files or memory ran out: the next run would lack what others have left open."""
    seen: set[int] = set()
    while True:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.EMFILE):
            return True
        seen.add(id(error))
        reason = error.__cause__ or error.__context__
        if reason is None or id(reason) in seen:  # they may go in a circle
            return False
        error = reason


def make_context(order: dict[str, Any], report: Any) -> Context:
    """Make a handler's context from the frame that orders its run."""
    return Context(
        execution_id=UUID(order["execution_id"]),
        job_name=order["job_name"],
        payload=order["payload"],
        fire_at=datetime.fromisoformat(order["fire_at"]) if order["fire_at"] else None,
        attempt=order["attempt"],
        max_attempts=order["max_attempts"],
        traceparent=order["traceparent"],
        report=report,
    )


class Child:
    """The child's side of the socket."""

    def __init__(self, connection: socket.socket, handlers: dict[str, Handler]) -> None:
        self._connection = connection
        self._handlers = handlers
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._context: Context | None = None
        self._task: asyncio.Task[Any] | None = None
        self._pid = os.getpid()
        self._runner = asyncio.Runner()

    def serve(self) -> None:
        """Run what is ordered, until the worker is gone."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._send({"kind": "ready"})
        while True:
            order = self._orders.get()
            frame = self._answer(order)
            if os.getpid() != self._pid:
                os._exit(0)  # a copy that the handler forked came out of it: the original answers
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):  # the handler may have closed it
                    stream.flush()
            self._send(frame)

    def _answer(self, order: dict[str, Any]) -> dict[str, Any]:
        def report(value: Any) -> None:
            text = to_capped_json(value, limit_bytes=PROGRESS_BYTES)
            self._send({"kind": "progress", "value": text}, during=context)

        self._context = context = make_context(order, report)
        try:
            return describe_result(self._call(self._handlers[order["handler"]], context))
        except BaseException as error:
            return describe_exception(error) | {"spent": is_spent(error)}
        finally:
            self._context = None

    def _call(self, handler: Handler, context: Context) -> Any:
        if not handler.is_async:
            return handler.function(context)

        async def main() -> Any:
            self._task = asyncio.current_task()
            if context.cancelled.is_set():
                raise asyncio.CancelledError
            try:
                return await handler.function(context)
            finally:
                # The loop stays for the next execution, so that handlers can keep clients; stray tasks do
                # not.
                for task in asyncio.all_tasks() - {self._task}:
                    task.cancel()

        try:
            return self._runner.run(main())
        finally:
            self._task = None

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while (frame := receive(self._connection)) is not None:
                if frame["kind"] == "run":
                    self._orders.put(frame)
                else:
                    self._cancel()
        os.killpg(0, signal.SIGKILL)

    def _cancel(self) -> None:
        if (context := self._context) is not None:
            context.cancelled.set()
        if (task := self._task) is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                self._runner.get_loop().call_soon_threadsafe(task.cancel)

    def _send(self, frame: dict[str, Any], *, during: Context | None = None) -> None:
        data = json.dumps(frame).encode()
        with self._sending:
            # A thread that outlives its run must not speak for the next.
            if during is None or during is self._context:
                self._connection.sendall(len(data).to_bytes(4, "big") + data)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """Read one frame; None at the end of the stream."""
    header = connection.recv(4, socket.MSG_WAITALL)
    if len(header) < 4:
        return None
    length = int.from_bytes(header, "big")
    data = bytearray()
    while len(data) < length:
        chunk = connection.recv(min(length - len(data), 65_536))
        if not chunk:
            return None
        data += chunk
    frame: dict[str, Any] = json.loads(bytes(data))
    return frame


def _outlive_sigterm() -> None:
    """Leave it to the worker when this process ends, also where the signal is sent to all.

    By a function, and not SIG_IGN, which the programs that a handler starts would inherit.
    """

    def ignore(*_: object) -> None: ...

    def end_as_ever() -> None:
        if signal.getsignal(signal.SIGTERM) is ignore:  # and not a handler's own
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))

    signal.signal(signal.SIGTERM, ignore)
    # What a handler forks ends by it, as a multiprocessing.Pool must; held back until the copy is ready.
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,)),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,)),
        after_in_child=end_as_ever,
    )


def main() -> None:
    """Serve on the socket whose number is the first argument; the others are the modules of handlers."""
    # Should memory run out, the kernel is to choose the handler, not the worker.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _outlive_sigterm()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    connection = socket.socket(fileno=int(sys.argv[1]))
    try:
        handlers = load_handlers(sys.argv[2:])
    except HandlerError as error:
        sys.exit(str(error))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        Child(connection, handlers).serve()


if __name__ == "__main__":
    main()
