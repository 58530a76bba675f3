"""Logs: lines of one turn of an event loop go out together, and nothing is lost or raised on the way."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from workers.logs import Unbreakable


class Stream(io.BytesIO):
    """Remembers what had been written at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[bytes] = []

    def flush(self) -> None:
        """Note it."""
        self.flushed.append(self.getvalue())


def say(log: Unbreakable, *lines: bytes) -> None:
    """Write lines as structlog does, each with its flush."""
    for line in lines:
        log.write(line)
        log.flush()


def test_lines_of_a_turn_are_sent_together() -> None:
    """At its end, without another line."""
    stream = Stream()
    log = Unbreakable(stream)

    async def turns() -> None:
        say(log, b"a", b"b")
        assert stream.flushed == []
        await asyncio.sleep(0)
        assert stream.flushed == [b"ab"]
        say(log, b"c")
        await asyncio.sleep(0)
        assert stream.flushed == [b"ab", b"abc"]

    asyncio.run(turns())


def test_outside_of_a_loop_a_line_is_sent_at_once() -> None:
    """As before it runs, after it has ended, and in a handler's thread."""
    stream = Stream()
    log = Unbreakable(stream)
    say(log, b"a")
    assert stream.flushed == [b"a"]
    thread = threading.Thread(target=say, args=(log, b"b"))
    thread.start()
    thread.join()
    assert stream.flushed == [b"a", b"ab"]


def test_a_thread_does_not_rely_on_another() -> None:
    """Its loop may be blocked, or have ended before it sent what it had to."""
    stream = Stream()
    log = Unbreakable(stream)

    def say_and_stop() -> None:
        loop = asyncio.new_event_loop()
        loop.call_soon(loop.stop)
        loop.call_soon(say, log, b"a")
        loop.run_forever()
        loop.close()

    thread = threading.Thread(target=say_and_stop)
    thread.start()
    thread.join()
    assert stream.flushed == []

    async def turn() -> None:
        say(log, b"b")
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert stream.flushed == [b"ab"]


def test_a_stream_that_breaks_raises_nothing() -> None:
    """Neither at the line nor at the end of the turn."""

    class Full(io.BytesIO):
        def write(self, _: object, /) -> int:
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    log = Unbreakable(Full())
    caught: list[object] = []

    async def turn() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
        say(log, b"a")
        await asyncio.sleep(0)

    asyncio.run(turn())
    assert caught == []


SAYS = """
import asyncio
import logging
import sys
from uuid import UUID

import structlog

from workers.logs import configure_logs

configure_logs("json", node_id="here", level=sys.argv[1])
log = structlog.get_logger("a")


async def main():
    log.info("short", id=UUID(int=1), half="\\ud800")
    log.info("with %s", "arguments")
    log.bind(more=1).info("bound")
    log.debug("too much")
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("failed")
    logging.getLogger("library").warning("also %s", "this")


asyncio.run(main())
log.info("at the end")
"""


def lines_from(level: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", SAYS, level],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_every_line_is_json_whichever_way_it_goes() -> None:
    """Also what a handler in this process says by structlog's other methods."""
    lines = lines_from("info")
    assert [line["event"] for line in lines] == [
        "short",
        "with arguments",
        "bound",
        "failed",
        "also this",
        "at the end",
    ]
    assert [line["level"] for line in lines] == ["info", "info", "info", "error", "warning", "info"]
    assert {line["node_id"] for line in lines} == {"here"}
    assert all("timestamp" in line for line in lines)
    assert lines[0]["id"] == "00000000-0000-0000-0000-000000000001"
    assert lines[2]["more"] == 1
    assert "ValueError: no" in lines[3]["exception"]
    assert lines[4]["logger"] == "library"


@pytest.mark.parametrize(("level", "events"), [("warning", ["failed", "also this"]), ("error", ["failed"])])
def test_lines_below_the_level_are_left_out(level: str, events: list[str]) -> None:
    assert [line["event"] for line in lines_from(level)] == events
