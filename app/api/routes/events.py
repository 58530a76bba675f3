"""Live events, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Annotated, Any

from litestar.di import NamedDependency
from litestar.types import HTTPResponseStartEvent, Receive, Scope, Send
from msgspec import Meta

from app.api.auth import bearer
from app.api.errors import FieldError, Problem
from app.api.events import EventHub
from app.api.handling import AnyRequest, header, query_of
from app.api.operations import reads
from app.api.parameters import Query
from app.api.routes.answers import context
from app.api.streams import TOPICS, Stream
from app.api.values import Text

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # A proxy that gathers what comes in would hold events back.
    (b"x-accel-buffering", b"no"),
]


class Listening(Query, kw_only=True):
    """What is listened to."""

    topics: Annotated[
        Text | None, Meta(description=f"some of `{','.join(TOPICS)}`, with commas; else all")
    ] = None
    last_event_id: Annotated[
        Text | None,
        Meta(description="the id of the last event that came; the header Last-Event-ID goes first"),
    ] = None


class EventResponse:
    """The answer that goes on for as long as somebody listens."""

    def __init__(self, hub: EventHub, stream: Stream | None) -> None:
        """Sends what a stream of the hub says, and leaves the hub at its end; None: the headers alone."""
        self._hub = hub
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Sends events until either side ends it."""
        start: HTTPResponseStartEvent = {
            "type": "http.response.start",
            "status": 200,
            "headers": list(HEADERS),
        }
        if self._stream is None:
            await send(start)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        stream = self._stream
        listener = asyncio.create_task(_wait_for_end(stream, receive))
        try:
            await send(start)
            # So that whoever waits for an answer has one.
            await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
            while (frames := await stream.next()) is not None:
                await send({"type": "http.response.body", "body": frames, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._hub.leave(stream)
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener


async def _wait_for_end(stream: Stream, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.end()


@reads(
    "/events",
    str,
    media_type="text/event-stream",
    query=Listening,
    summary="Listen to what happens",
    tag="overview",
)
async def events(request: AnyRequest, hub: NamedDependency[EventHub]) -> EventResponse:
    """Server-sent events: aggregates and ids, never rows.

    `hello` begins a stream: fetch then what you show. `jobs`, `executions`, `queues` and `stats` tell that
    something changed; read it with their `consistency_token` to see it. `reset`: something was missed, fetch
    everything anew. `bye`: this process leaves, connect again. Sent again with the id of the last event, a
    stream goes on after it.
    """
    wanted = query_of(request, Listening)
    topics = _topics(wanted.topics)
    if request.method == "HEAD":  # its answer has no body that could go on
        return EventResponse(hub, None)
    asked, secret = context(request), bearer(request.scope)
    assert asked.key is not None  # noqa: S101 - the guard has looked
    stream = hub.join(
        topics,
        key=asked.key,
        peer=asked.peer,
        digest=hashlib.sha256(secret).digest() if secret else None,
        last=header(request, "Last-Event-ID") or wanted.last_event_id,
    )
    return EventResponse(hub, stream)


def _topics(text: str | None) -> frozenset[str]:
    asked = frozenset(part.strip() for part in text.split(",")) if text is not None else frozenset(TOPICS)
    unknown = asked - set(TOPICS)
    if unknown or not asked:
        name = min(unknown, default="")
        raise Problem(
            400,
            "malformed",
            f"there is no topic {name!r}",
            hint=f"there are {', '.join(TOPICS)}",
            errors=[FieldError("query.topics", "is not known")],
        )
    return asked


ROUTES: list[Any] = [events]
