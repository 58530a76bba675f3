"""HTTP calls: signed, bounded, without redirects, and only to where the worker may go."""

from __future__ import annotations

import contextlib
import re
import time
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
from yarl import URL

from workers.documents import MAX_DOCUMENT_BYTES, from_json, shorten, to_json, to_json_exactly
from workers.executions import Execution, Outcome, Run, failed
from workers.executors.addresses import AllowList, Guard, RefusedAddressError
from workers.executors.resolver import Resolver
from workers.executors.signing import sign
from workers.settings import Settings

CONNECT_SECONDS = 10.0
MAX_RETRY_AFTER = timedelta(days=1)

# The head of the body that is kept, and of that as much as its escapes leave room for: so with its envelope
# the result stays under 64 KB.
BODY_BYTES = MAX_BODY_JSON_BYTES = MAX_DOCUMENT_BYTES - 16_384

# Else aiohttp takes a line of over 8,190 bytes for a broken connection, and the call would be repeated.
MAX_HEADER_BYTES = 65_536

KEPT_HEADERS = (
    "Content-Type",
    "Content-Length",
    "Content-Encoding",
    "Date",
    "Location",
    "Retry-After",
    "X-Request-ID",
)

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A URL that needs nothing quoted.
WHOLE_URL = re.compile(r"[^/?#]*+//[^/?#]*+(?:[\w.~:/?@!$&'()*+,;=#-]|%[0-9A-Fa-f]{2})*", re.ASCII)
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

# A client error will be the same next time, but for these: the server was slow, in conflict or asks for
# patience.
RETRIED_CLIENT_ERRORS = frozenset((408, 409, 425, 429))

# These belong to the transport or to the signature: a job that sets them could confuse the receiver or pose
# as another.
RESERVED_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect")
)


class BadTargetError(Exception):
    """The job's target cannot be called, now or ever."""


class HttpExecutor:
    """Calls the target's URL; 2xx is success."""

    available = True

    def __init__(self, settings: Settings) -> None:
        self._allowed = AllowList(settings.http_allow)
        self._keys = settings.webhook_secrets
        self._resolver = Resolver()

    async def start(self) -> None:
        """Nothing to make ready."""

    async def close(self) -> None:
        """Nothing to let go of: a connection belongs to its run."""

    async def run(self, run: Run) -> Outcome:
        """Send the request and judge the reply; the execution's timeout bounds all, the slow drip too."""
        execution = run.execution
        try:
            url = _url(execution.target["url"])
            body, headers = self._message(execution)
            guard = Guard(self._allowed, host=url.host or "", port=url.port or 0, resolver=self._resolver)
            return await self._call(execution, url, guard, body=body, headers=headers)
        except BadTargetError as error:
            return failed("bad_target", str(error), retry=False)
        except (aiohttp.ClientError, OSError) as error:
            refused = _refusal(error)
            if refused is not None:
                return failed("refused_address", f"not called: {refused}", retry=False)
            return failed("connection", _describe(error))

    def _message(self, execution: Execution) -> tuple[bytes | None, dict[str, str]]:
        target: dict[str, Any] = execution.target
        method = _method(target)
        content = to_json_exactly(target["body"]) if "body" in target else execution.payload
        headers = {"User-Agent": "pgtick", "Accept-Encoding": "identity"}
        body = None
        if content not in (None, "null") and ("body" in target or method not in ("GET", "HEAD", "OPTIONS")):
            is_text = content.startswith('"')
            body = (from_json(content) if is_text else content).encode()
            headers["Content-Type"] = "text/plain; charset=utf-8" if is_text else "application/json"
        if execution.traceparent:
            headers["traceparent"] = execution.traceparent
        headers |= _own_headers(target.get("headers", {}))
        headers["webhook-id"] = str(execution.execution_id)
        if self._keys:
            headers |= sign(
                body or b"",
                message_id=str(execution.execution_id),
                timestamp=int(time.time()),
                keys=self._keys,
            )
        return body, headers

    async def _call(
        self, execution: Execution, url: URL, guard: Guard, *, body: bytes | None, headers: Mapping[str, str]
    ) -> Outcome:
        # A session and a connection for each call: the guard knows this call's host, and a kept connection
        # that the server has just closed would cost the job an attempt.
        connector = aiohttp.TCPConnector(
            resolver=guard, socket_factory=guard.open_socket, use_dns_cache=False, force_close=True
        )
        async with aiohttp.ClientSession(
            connector=connector,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
        ) as session:
            method = _method(execution.target)
            async with session.request(
                method, url, data=body, headers=headers, allow_redirects=False
            ) as reply:
                return await _judge(reply)


async def _judge(reply: aiohttp.ClientResponse) -> Outcome:
    text, truncated = await _read(reply)
    result = to_json(
        {
            "status": reply.status,
            "headers": {
                name.lower(): reply.headers[name][:1024] for name in KEPT_HEADERS if name in reply.headers
            },
            "body": text,
            "truncated": truncated,
        }
    )
    if 200 <= reply.status < 300:
        return Outcome(status="succeeded", result=result)
    redirect = ": redirects are not followed" if 300 <= reply.status < 400 else ""
    return failed(
        "http_status",
        f"HTTP status {reply.status}{redirect}",
        retry=reply.status >= 500 or reply.status in RETRIED_CLIENT_ERRORS,
        retry_after=_retry_after(reply.headers.get("Retry-After")),
        result=result,
    )


async def _read(reply: aiohttp.ClientResponse) -> tuple[str, bool]:
    """Read the head of the body. It is unpacked by ourselves, because a small bomb unpacks to gigabytes."""
    data = bytearray()
    while len(data) <= BODY_BYTES and (chunk := await reply.content.read(BODY_BYTES + 1 - len(data))):
        data += chunk
    truncated = len(data) > BODY_BYTES
    if reply.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        with contextlib.suppress(zlib.error):  # else it is kept as it came
            data = bytearray(unpacker.decompress(bytes(data), BODY_BYTES + 1))
            truncated = truncated or len(data) > BODY_BYTES or bool(unpacker.unconsumed_tail)
    text = _decode(bytes(data[:BODY_BYTES]), reply.charset or "utf-8")
    kept = shorten(text, limit_bytes=MAX_BODY_JSON_BYTES)
    return kept, truncated or len(kept) < len(text)


def _decode(data: bytes, charset: str) -> str:
    try:
        return data.decode(charset, "replace")
    except (LookupError, ValueError):  # whatever a server calls it: the call has succeeded
        return data.decode("utf-8", "replace")


def _method(target: Mapping[str, Any]) -> str:
    return target.get("method") or "POST"


def _url(text: str) -> URL:
    try:
        url = _as_written(text)
        host, port = url.host, url.port
        (url.raw_host or "").encode("idna")  # as the look-up does: a label may be empty or too long
    except (ValueError, IndexError) as error:
        raise BadTargetError(f"not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not host or not port:
        raise BadTargetError("the URL must be https://host/path or http://host/path")
    if url.user is not None or url.password is not None:
        raise BadTargetError("the URL must not carry a user or password: use the header Authorization")
    return url


def _as_written(text: str) -> URL:
    """Quote only where something must be: yarl makes of %2F a /, and a signature over the URL is wrong."""
    url = URL(text)
    if WHOLE_URL.fullmatch(text) is None:
        return url
    written = URL(text, encoded=True)
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=written.raw_path,
        query_string=written.raw_query_string,
        encoded=True,
    )


def _own_headers(headers: Mapping[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if name.lower() in RESERVED_HEADERS or name.lower().startswith("webhook-"):
            raise BadTargetError(f"the header {name} cannot be set by a job")
        if TOKEN.fullmatch(name) is None:
            raise BadTargetError(f"the header {name!r} has no name such as X-Name")
        if CONTROL.search(value):
            raise BadTargetError(f"the header {name!r} contains a line end or another control character")
    return dict(headers)


def _refusal(error: BaseException | None) -> RefusedAddressError | None:
    """Find the refusal under what aiohttp made of it."""
    while error is not None:
        if isinstance(error, RefusedAddressError):
            return error
        error = error.__cause__ or getattr(error, "os_error", None) or error.__context__
    return None


def _describe(error: Exception) -> str:
    """Say what went wrong, without the 400 that aiohttp makes up for what it cannot read."""
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ClientResponseError):
        reason = getattr(error.__cause__ or error, "message", error)
        return f"the reply is no HTTP, or broke off: {' '.join(str(reason).split())}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _retry_after(value: str | None) -> timedelta | None:
    """Understand seconds or an HTTP date; at most a day, so that no server can park a job for good.

    None, so that the job's own backoff counts, also for no wait, and for a time that is over, perhaps by our
    clock only.
    """
    if value is None:
        return None
    if value.strip().isdecimal():
        wait = timedelta(seconds=min(float(value), MAX_RETRY_AFTER.total_seconds()))
    else:
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        wait = when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)
    return min(wait, MAX_RETRY_AFTER) if wait > timedelta() else None
