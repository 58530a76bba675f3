"""The OpenAPI document, and a viewer of it that is served from our own files."""

from __future__ import annotations

from importlib.metadata import version

from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

DESCRIPTION = """\
Every answer is JSON; every error is a problem document (RFC 9457) that says what is wrong and what to do.
Lists are paged by a cursor. A write answers with `X-Consistency-Token`: a read that sends it sees that write.
"""


def openapi_config() -> OpenAPIConfig:
    """Returns how the document is made and where it is served."""
    return OpenAPIConfig(
        title="pgtick",
        version=version("pgtick"),
        description=DESCRIPTION,
        path="/schema",
        render_plugins=[JsonRenderPlugin()],
        security=[{"key": []}],
        components=Components(
            security_schemes={"key": SecurityScheme(type="http", scheme="bearer", description="an API key")}
        ),
        use_handler_docstrings=True,
    )
