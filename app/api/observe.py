"""The outermost layer: gives a request its id and context, counts and logs it, and lets no error through."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Sequence

import structlog
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from app.api import metrics
from app.api.context import CURRENT, KEY, Context, format_token, parse_token
from app.api.errors import problem_of, send_problem, unavailable
from app.api.peer import Network, peer_of
from app.api.tracing import Tracing

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
SLOW_SECONDS = 1.0
EVENTS_PATH = "/v1/events"
UNTRACED = ("/health", "/metrics")
"""Asked all the time by machines: nobody looks for a trace of that."""
READS = frozenset({"GET", "HEAD", "OPTIONS"})

_log = structlog.get_logger("api")


class ObserveLayer:
    """Around everything else, so that nothing is answered that it does not see: 404, 405, 429 and 500 too."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        is_draining: Callable[[], bool],
        trusted_proxies: Sequence[Network],
        tracing: Tracing | None,
    ) -> None:
        self._app = app
        self._tracing = tracing
        self._is_draining = is_draining
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Passes a request on and watches its answer."""
        began = time.perf_counter()
        scope["path"] = one_path(scope["path"])
        context = make_context(scope)
        context.peer = peer_of(scope, self._trusted_proxies)
        scope.setdefault("state", {})[KEY] = context
        if self._tracing is not None and not scope["path"].startswith(UNTRACED):
            context.span = self._tracing.begin(scope["method"], scope["path"], context)
        CURRENT.set(context)
        status = 0

        async def watching(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], *context.headers]
                headers.append((b"x-request-id", context.request_id.encode()))
                if context.lsn is not None:
                    headers.append((b"x-consistency-token", format_token(context.lsn).encode()))
                if self._is_draining():
                    headers.append((b"connection", b"close"))  # whoever is behind it goes elsewhere
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, watching)
        except asyncio.CancelledError:  # by nobody but a server that leaves
            if status == 0:
                await send_problem(scope, watching, unavailable("this process has to leave", slug="leaving"))
        except Exception as error:
            _log.error("a request failed", path=scope["path"], exc_info=error)
            if status == 0:
                await send_problem(scope, watching, problem_of(error))
        finally:
            self._observe(scope, context, status, time.perf_counter() - began)

    def _observe(self, scope: HTTPScope, context: Context, status: int, seconds: float) -> None:
        if context.route == "unmatched":
            context.route = scope.get("path_template") or "unmatched"
        is_stream = scope["path"] == EVENTS_PATH and status == 200
        if not is_stream:  # it lasts as long as somebody listens
            metrics.request(scope["method"], context.route, status, seconds)
        # Reads that went well are in the metrics, and in the log of the proxy; a line for each took a third
        # of the time of one that comes from the cache.
        if status >= 400 or seconds > SLOW_SECONDS or scope["method"] not in READS:
            log = _log.warning if status >= 500 else _log.info
            log(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round(seconds * 1000, 1),
                key=context.key.name if context.key else None,
                cache=context.cache,
            )
        if context.span is not None:
            context.span.end(scope["method"], context, status)


def make_context(scope: Scope) -> Context:
    """Returns the context of a new request, by what its headers say. A malformed id counts as not said."""
    request_id = traceparent = token = None
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            request_id = value
        elif name == b"traceparent":
            traceparent = value
        elif name == b"x-consistency-token":
            token = value
    context = Context(request_id=new_request_id())
    if request_id is not None and REQUEST_ID.fullmatch(request_id):
        context.request_id = request_id.decode()
    if traceparent is not None and TRACEPARENT.fullmatch(traceparent):
        context.traceparent = traceparent.decode()
    if token is not None:
        floor = parse_token(token.decode("latin-1"))
        if floor is None:
            context.malformed = "X-Consistency-Token"
        else:
            context.floor = floor
    return context


def one_path(path: str) -> str:
    """Returns the one form of a path: what the router takes for `/v1/jobs`, all layers have to."""
    if "//" in path or path[-1:] == "/":
        return "/" + "/".join(part for part in path.split("/") if part)
    return path


def new_request_id() -> str:
    """Returns an id that sorts by time, as UUIDv7 does."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    number = number & ~(0xF000 << 64) | 0x7000 << 64
    number = number & ~(0xC000 << 48) | 0x8000 << 48
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
