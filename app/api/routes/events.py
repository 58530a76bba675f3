"""Live events, as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Annotated, Any

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import Receive, Scope, Send

from app.api.auth import bearer
from app.api.errors import FieldError, Problem
from app.api.events import EventHub
from app.api.routes.answers import AnyRequest, context, needs
from app.api.streams import TOPICS, Stream

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # A proxy that gathers what comes in would hold events back.
    (b"x-accel-buffering", b"no"),
]

Topics = Annotated[
    str | None,
    QueryParameter(max_length=100, description=f"some of `{','.join(TOPICS)}`, with commas; else all"),
]
LastEventId = Annotated[
    str | None,
    QueryParameter(max_length=100, description="the id of the last event that came; the header goes first"),
]
LastEventIdHeader = Annotated[
    str | None,
    HeaderParameter(name="Last-Event-ID", max_length=100, description="likewise, as browsers send it"),
]


class EventResponse:
    """The answer that goes on for as long as somebody listens."""

    def __init__(self, hub: EventHub, stream: Stream) -> None:
        """Sends what a stream of the hub says, and leaves the hub at its end."""
        self._hub = hub
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Sends events until either side ends it."""
        listener = asyncio.create_task(self._wait_for_end(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            # So that whoever waits for an answer has one.
            await send({"type": "http.response.body", "body": b":\n\n", "more_body": True})
            while (frames := await self._stream.next()) is not None:
                await send({"type": "http.response.body", "body": frames, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._hub.leave(self._stream)
            listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listener

    async def _wait_for_end(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.end()


@get(
    "/events",
    opt=needs("read"),
    media_type="text/event-stream",
    responses={200: ResponseSpec(data_container=str, generate_examples=False, description="Events")},
    summary="Listen to what happens",
    tags=["overview"],
)
async def events(
    request: AnyRequest,
    hub: NamedDependency[EventHub],
    topics: Topics = None,
    last_event_id: LastEventId = None,
    last_event_id_header: LastEventIdHeader = None,
) -> EventResponse:
    """Server-sent events: aggregates and ids, never rows.

    `hello` begins a stream: fetch then what you show. `jobs`, `executions`, `queues` and `stats` tell that
    something changed; read it with their `consistency_token` to see it. `reset`: something was missed, fetch
    everything anew. `bye`: this process leaves, connect again. Sent again with the id of the last event, a
    stream goes on after it.
    """
    asked, secret = context(request), bearer(request.scope)
    assert asked.key is not None  # noqa: S101 - the guard has looked
    stream = hub.join(
        _topics(topics),
        key=asked.key,
        peer=asked.peer,
        digest=hashlib.sha256(secret).digest() if secret else None,
        last=last_event_id_header or last_event_id,
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
