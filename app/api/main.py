"""The application: our layers around a Litestar that knows the routes.

observe -> authenticate -> limit -> cache -> Litestar -> one call of a function of `scheduler`
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection, Coroutine
from typing import Any

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from app.api.activity import look_at_activity
from app.api.auth import AuthLayer, KeyRing, look_up_in
from app.api.cache import Cache
from app.api.cache_layer import CacheLayer
from app.api.cache_rules import tags_of
from app.api.changes import Change, Changes
from app.api.config import MAX_BODY_BYTES, ApiSettings
from app.api.database import Database
from app.api.events import EventHub
from app.api.exposition import Exposition
from app.api.handling import EXCEPTION_HANDLERS, check_request
from app.api.health import Health
from app.api.limit_layer import LimitLayer
from app.api.limits import Limiter
from app.api.metrics_folder import shared_folder
from app.api.observe import ObserveLayer
from app.api.pgbouncer import PgBouncer
from app.api.pool_metrics import PoolMetrics
from app.api.redis_link import RedisLink
from app.api.routes import ROUTES, pages, status
from app.api.snapshots import Snapshots
from app.api.tracing import make_tracing


class Api:
    """One process's API: an ASGI application and all that it holds."""

    def __init__(self, settings: ApiSettings) -> None:
        """Makes everything and opens nothing."""
        self.settings = settings
        self.draining = asyncio.Event()
        """Set when the process is about to leave."""
        self.clients: Collection[Any] = set()
        """The open connections; the server brings its own collection."""
        self.tracing = make_tracing(os.environ, node_id=settings.node_id)
        self.redis = (
            RedisLink(settings.redis_url, password=settings.redis_password) if settings.redis_url else None
        )
        self.cache = Cache(self.redis)
        self.database = Database(settings, changed=self._raise_floors)
        self.pgbouncer = PgBouncer(settings.pgbouncer_admin) if settings.pgbouncer_admin else None
        self.health = Health(
            settings,
            self.database,
            redis=self.redis,
            pgbouncer=self.pgbouncer,
            is_draining=self.draining.is_set,
            count_clients=lambda: len(self.clients),
        )
        folder = shared_folder()
        snapshots = Snapshots(self.database, pgbouncer=self.pgbouncer, folder=folder)
        self.exposition = Exposition(
            snapshots,
            PoolMetrics(self.database.sources),
            node_id=settings.group_id or settings.node_id,
            folder=folder,
            token=settings.metrics_token,
        )
        self.ring = KeyRing(look_up_in(self.database, self.cache.floors)) if settings.auth else None
        self.events = EventHub(
            look_at_activity(self.database),
            find_key=self.ring.find if self.ring else None,
            draining=self.draining,
            max_streams=settings.max_streams,
            max_streams_per_key=settings.max_streams_per_key,
        )
        self.changes = Changes(
            self.cache,
            direct_conninfo=settings.direct_conninfo,
            write_conninfo=settings.write_conninfo,
            node_id=settings.node_id,
        )
        self.changes.subscribe(self.events.changed)
        self.changes.subscribe(self._forget_keys)
        self.litestar = self._make_litestar()
        self.limiter = (
            Limiter(
                settings.limits,
                self.redis,
                node_id=settings.node_id,
                instances=settings.limit_instances,
                processes=settings.processes,
            )
            if settings.limits
            else None
        )
        app: Any = CacheLayer(self.litestar, self.cache)
        app = LimitLayer(app, self.limiter)
        app = AuthLayer(app, self.ring, self.limiter)
        self._app = ObserveLayer(
            app,
            is_draining=self.draining.is_set,
            trusted_proxies=settings.trusted_proxies,
            tracing=self.tracing,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; start, end and what is no HTTP go past our layers."""
        if scope["type"] == ScopeType.HTTP:
            await self._app(scope, receive, send)
        else:
            await self.litestar(scope, receive, send)

    def _raise_floors(self, kind: str, changed_id: str, lsn: int) -> None:
        """Has who changed something here see it at once, before the database has told of it."""
        for tag in tags_of(kind, changed_id):
            self.cache.floors.raise_floor(tag, lsn)

    def _forget_keys(self, changes: frozenset[Change] | None) -> None:
        if self.ring is not None and (changes is None or any(change.kind == "key" for change in changes)):
            self.ring.forget()

    def _make_litestar(self) -> Litestar:
        return Litestar(
            route_handlers=[
                Router("/v1", route_handlers=ROUTES, guards=[check_request]),
                *status.ROUTES,
                *pages.ROUTES,
            ],
            dependencies={
                "database": _provide(self.database),
                "health": _provide(self.health),
                "exposition": _provide(self.exposition),
                "hub": _provide(self.events),
            },
            exception_handlers=EXCEPTION_HANDLERS,
            request_max_body_size=MAX_BODY_BYTES,
            openapi_config=None,
            lifespan=[self._lifespan],
            logging_config=None,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            if self.tracing is not None:
                stack.push_async_callback(self.tracing.close)
            await stack.enter_async_context(self.database.opened())
            if self.redis is not None:
                await self.redis.open()
                stack.push_async_callback(self.redis.close)
            if self.limiter is not None:
                await self.limiter.open()
                stack.push_async_callback(self.limiter.close)
            if self.pgbouncer is not None:
                stack.push_async_callback(self.pgbouncer.close)
            stack.push_async_callback(self.cache.close)
            await stack.enter_async_context(self.changes.running())
            await stack.enter_async_context(_running(self.exposition.keep_up()))
            await stack.enter_async_context(self.events.running())
            yield


@contextlib.asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _provide(held: Any) -> Provide:
    return Provide(lambda: held, sync_to_thread=False)


def create_app(settings: ApiSettings) -> Api:
    """Returns the ASGI application."""
    return Api(settings)
