"""The layer that holds requests to the limits, and says so in their answers."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from litestar.types import ASGIApp, HTTPScope, Receive, Send

from app.api.auth import EVERYBODY, is_public
from app.api.context import Context, context_of
from app.api.errors import send_problem
from app.api.limit_rules import class_of, policy, refusal, state
from app.api.limits import Limiter
from app.api.peer import client_at


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
        decision = gate.decide_now() or await gate.decide_later()
        if not decision.admitted:
            await send_problem(scope, send, refusal(decision, kind, self._limiter.limits))
            return
        context.headers.append((b"ratelimit-policy", self._policies[kind]))
        context.headers.append((b"ratelimit", state(decision, kind)))
        await self._app(scope, receive, send)


def client_of(context: Context) -> str:
    """Returns the name of a client's buckets: by its key, else by its address."""
    if context.key is None or context.key is EVERYBODY:
        return client_at(context.peer)
    return _client_with(context.key.key_id)


@lru_cache(10_000)
def _client_with(key_id: UUID) -> str:
    return f"key:{key_id}"
