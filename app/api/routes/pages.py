"""What people read: the OpenAPI document with a viewer of our own, and the pages that problems point to."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from functools import cache
from importlib.resources import files
from typing import Annotated, Any

import msgspec
from litestar import HttpMethod, Response, route
from litestar.params import PathParameter

from app.api.errors import Problem
from app.api.handling import AnyRequest
from app.api.openapi import make_document
from app.api.problems import KINDS

VIEWER = files("app.api") / "viewer"
SWAGGER_UI = files("swagger_ui_bundle") / "vendor" / "swagger-ui-5.31.0"
FILES = {
    "viewer.js": VIEWER,
    "viewer.css": VIEWER,
    "swagger-ui-bundle.js": SWAGGER_UI,
    "swagger-ui.css": SWAGGER_UI,
}

# The viewer sets styles by script only, and its icons are in its style sheet.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
READ = [HttpMethod.GET, HttpMethod.HEAD]


class Content(msgspec.Struct, frozen=True):
    """Bytes that do not change while the process runs."""

    body: bytes
    media_type: str
    etag: str
    packed: bytes

    @classmethod
    def of(cls, body: bytes, media_type: str) -> Content:
        """Makes one, packed beforehand: the script of the viewer is 1.5 MB."""
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return cls(body, media_type, etag, gzip.compress(body, 6, mtime=0))


@route("/schema", http_method=READ)
async def schema(request: AnyRequest) -> Response[bytes]:
    """The viewer for a browser, the document for everything else."""
    wants_page = "text/html" in request.headers.get("Accept", "")
    content = _file("index.html") if wants_page else _document(request.app)
    return _answer(request, content, vary="Accept, Accept-Encoding")


@route("/schema/openapi.json", http_method=READ)
async def document(request: AnyRequest) -> Response[bytes]:
    """The OpenAPI document."""
    return _answer(request, _document(request.app))


@route([f"/schema/{name}" for name in FILES], http_method=READ)
async def viewer_file(request: AnyRequest) -> Response[bytes]:
    """A file of the viewer."""
    return _answer(request, _file(request.scope["path"].rpartition("/")[2]))


@route("/problems", http_method=READ)
async def problems() -> Response[str]:
    """All kinds of problems."""
    return Response("".join(f"{slug}\n" for slug in KINDS), media_type="text/plain")


@route("/problems/{slug:str}", http_method=READ)
async def problem(slug: Annotated[str, PathParameter()]) -> Response[str]:
    """What a kind of problem means, and what to do."""
    kind = KINDS.get(slug)
    if kind is None:
        raise Problem(404, "not-found", "there is no such kind of problem", hint="/problems lists them")
    return Response(f"{kind.title} ({kind.status})\n\n{kind.meaning}\n", media_type="text/plain")


@cache
def _document(app: Any) -> Content:
    return Content.of(make_document(app), "application/vnd.oai.openapi+json;version=3.1")


@cache
def _file(name: str) -> Content:
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Content.of((FILES.get(name, VIEWER) / name).read_bytes(), media_type)


def _answer(request: AnyRequest, content: Content, *, vary: str = "Accept-Encoding") -> Response[bytes]:
    headers = {
        "ETag": content.etag,
        "Cache-Control": "no-cache",  # but asked for by its ETag
        "Vary": vary,
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    if content.etag in request.headers.get("If-None-Match", ""):
        return Response(b"", status_code=304, headers=headers)
    body = content.body
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = content.packed
    return Response(body, media_type=content.media_type, headers=headers)


ROUTES = [schema, document, viewer_file, problems, problem]
