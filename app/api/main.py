"""The application: our layers around a Litestar that knows the routes.

observe -> authenticate -> Litestar -> one call of a function of `scheduler`
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from litestar import Litestar, Router
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from app.api.auth import AuthLayer, KeyRing, look_up_in
from app.api.config import MAX_BODY_BYTES, ApiSettings
from app.api.database import Database
from app.api.handling import EXCEPTION_HANDLERS, refuse_unknown_parameters
from app.api.observe import ObserveLayer
from app.api.openapi import openapi_config
from app.api.routes import ROUTES
from app.api.routes.answers import check_key


class Api:
    """One process's API: an ASGI application and all that it holds."""

    def __init__(self, settings: ApiSettings) -> None:
        """Makes everything and opens nothing."""
        self.settings = settings
        self.draining = asyncio.Event()
        """Set when the process is about to leave."""
        self.database = Database(settings)
        self.ring = KeyRing(look_up_in(self.database)) if settings.auth else None
        self.litestar = self._make_litestar()
        app: ASGIApp = self.litestar
        app = AuthLayer(app, self.ring)
        self._app = ObserveLayer(app, is_draining=self.draining.is_set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; start, end and what is no HTTP go past our layers."""
        if scope["type"] == ScopeType.HTTP:
            await self._app(scope, receive, send)
        else:
            await self.litestar(scope, receive, send)

    def _make_litestar(self) -> Litestar:
        database = self.database

        def provide_database() -> Database:
            return database

        return Litestar(
            route_handlers=[
                Router("/v1", route_handlers=ROUTES, guards=[check_key, refuse_unknown_parameters])
            ],
            dependencies={"database": Provide(provide_database, sync_to_thread=False)},
            exception_handlers=EXCEPTION_HANDLERS,
            request_max_body_size=MAX_BODY_BYTES,
            openapi_config=openapi_config(),
            lifespan=[self._lifespan],
            logging_config=None,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Litestar) -> AsyncIterator[None]:
        async with self.database.opened():
            yield


def create_app(settings: ApiSettings) -> Api:
    """Returns the ASGI application."""
    return Api(settings)
