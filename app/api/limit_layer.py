"""The layer that holds requests to the limits, and says so in their answers."""

from __future__ import annotations

import math

from litestar.types import ASGIApp, HTTPScope, Receive, Send

from app.api.auth import EVERYBODY, is_public
from app.api.context import Context, context_of
from app.api.errors import send_problem
from app.api.limits import Class, Decision, Limiter, Limits, name_of, refusal

BULK = ("/bulk", "/backfill")


class LimitLayer:
    """Inside of authentication, so that it knows whose request it is."""

    def __init__(self, app: ASGIApp, limiter: Limiter | None) -> None:
        """Without a limiter everything is admitted."""
        self._app = app
        self._limiter = limiter
        self._policies = (
            {kind: policy(limiter.limits, kind) for kind in limiter.limits.classes} if limiter else {}
        )

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Admits a request, or answers it with 429."""
        if self._limiter is None or is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        context = context_of(scope)
        kind = class_of(scope)
        gate = self._limiter.gate(client_of(context), kind)
        decision = await gate.decide()
        context.headers.append((b"ratelimit-policy", self._policies[kind]))
        context.headers.append((b"ratelimit", _state(decision, kind)))
        if decision.admitted:
            await self._app(scope, receive, send)
        else:
            await send_problem(scope, send, refusal(decision, kind))


def class_of(scope: HTTPScope) -> Class:
    """Returns the class of a request: what it costs us, roughly."""
    if scope["method"] in ("GET", "HEAD", "OPTIONS"):
        return "read"
    return "bulk" if scope["path"].endswith(BULK) else "write"


def client_of(context: Context) -> str:
    """Returns the name of a client's buckets: by its key, else by its address."""
    if context.key is None or context.key is EVERYBODY:
        return f"peer:{context.peer}"
    return f"key:{context.key.key_id}"


def policy(limits: Limits, kind: Class) -> bytes:
    """Returns the header RateLimit-Policy: of each level the quota, and the seconds that it is for."""
    named = (("global", limits.everybody), ("client", limits.client), (kind, limits.classes[kind]))
    return ", ".join(
        f'"{name}";q={limit.burst};w={max(1, round(limit.burst / limit.rate))}' for name, limit in named
    ).encode()


def _state(decision: Decision, kind: Class) -> bytes:
    level = name_of(decision, kind)
    return b'"%s";r=%d;t=%d' % (level.encode(), decision.remaining, math.ceil(decision.reset_seconds))
