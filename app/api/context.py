"""What is known of a request while it passes through the layers."""

from __future__ import annotations

import re
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

import msgspec
from litestar.types import Scope

if TYPE_CHECKING:
    from app.api.tracing import Span

SCOPES = ("read", "enqueue", "operate", "admin")
KEY = "pgtick"

_TOKEN = re.compile(r"[0-9a-f]{16}")

CacheResult = Literal["hit", "stale", "miss", "bypass"]


class Key(msgspec.Struct, frozen=True):
    """An API key that was found valid."""

    key_id: UUID
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """Tells whether the key has a scope; admin has them all."""
        return scope in self.scopes or "admin" in self.scopes


class Context(msgspec.Struct):
    """Made by the outermost layer, kept in the ASGI scope, filled in by those further in."""

    request_id: str
    traceparent: str | None = None
    """Where what the request does belongs: the span of the request, or as it came where there is none."""
    span: Span | None = None
    key: Key | None = None
    peer: str = ""
    """Who calls: the address of the peer, or what a trusted proxy says it is."""
    route: str = "unmatched"
    """The template of the path: the only form of it that metrics may carry."""
    malformed: str | None = None
    """The header that means nothing, where that must not pass for not being there."""
    floor: int = 0
    """The LSN that whatever is read must include: the caller's own writes, and known changes."""
    lsn: int | None = None
    """The LSN as of which the answer was read; None while nothing was."""
    cache: CacheResult | None = None
    headers: list[tuple[bytes, bytes]] = []
    """What the layers add to the answer, whoever gives it."""


CURRENT: ContextVar[Context | None] = ContextVar("request", default=None)
"""The request that the running task works for: what is logged on its way bears its ids."""


def context_of(scope: Scope) -> Context:
    """Returns the context of a request."""
    context: Context = scope["state"][KEY]
    return context


def parse_token(text: str) -> int | None:
    """Returns the LSN of an X-Consistency-Token (16 hexadecimal digits), or None if it is none."""
    return int(text, 16) if _TOKEN.fullmatch(text) else None


def format_token(lsn: int) -> str:
    """Returns an LSN as an X-Consistency-Token."""
    return f"{lsn:016x}"
