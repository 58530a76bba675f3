"""What goes back to the database: JSON that jsonb accepts, and output that stays small."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import msgspec

MAX_DOCUMENT_BYTES = 65_536

# jsonb cannot hold U+0000; an escape counts only when the backslash before it is not itself escaped.
_NUL_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def _as_written(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


_exact_decoder = msgspec.json.Decoder(float_hook=_as_written)
_exact_encoder = msgspec.json.Encoder(decimal_format="number")


class DocumentError(ValueError):
    """The value cannot be stored as JSON."""


def from_json(data: bytes | bytearray | str) -> Any:
    """Read what PostgreSQL wrote: an integer of more digits than Python takes becomes a Decimal."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        return json.loads(data, parse_int=_integer)


def from_json_exactly(data: str) -> Any:
    """Read what is to be written again: a number with a point stays as it is."""
    try:
        return _exact_decoder.decode(data)
    except msgspec.DecodeError:
        return json.loads(data, parse_int=_integer, parse_float=_as_written)


def to_json_exactly(value: Any) -> str:
    """Write what from_json_exactly has read, spaced as PostgreSQL does."""
    return msgspec.json.format(_exact_encoder.encode(value), indent=0).decode()


def _integer(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        return Decimal(text)


def to_json(value: Any) -> str:
    """Write a value as JSON that jsonb accepts: no NaN, no NUL, no half of a surrogate pair."""
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise DocumentError(f"not storable as JSON: {error}") from None
    text = text.encode("utf-8", "replace").decode("utf-8")
    return _NUL_ESCAPE.sub(r"\1\\ufffd", text) if "\\u0000" in text else text


def to_capped_json(value: Any, *, limit_bytes: int = MAX_DOCUMENT_BYTES) -> str:
    """Write a value as JSON; of one that is too long keep the head and the tail, and say so."""
    text = to_json(value)
    size = len(text.encode())
    if size <= limit_bytes:
        return text
    # A quarter each, because quoting JSON in JSON can double it.
    part = limit_bytes // 4 - 64
    data = text.encode()
    return to_json(
        {
            "truncated": True,
            "bytes": size,
            "head": data[:part].decode("utf-8", "ignore"),
            "tail": data[-part:].decode("utf-8", "ignore"),
        }
    )


def shorten(text: str, *, limit_bytes: int) -> str:
    """Keep as much of a text's head as takes no more than so many bytes as JSON.

    Where it was binary, each byte has become three, or six with JSON's escapes.
    """
    length = len(text)
    while (size := json_bytes(text)) > limit_bytes:
        length = length * limit_bytes // size
        text = text[:length]
    return text


def json_bytes(text: str) -> int:
    """Return how many bytes a text takes in JSON, without the quotes."""
    return len(to_json(text).encode()) - len('""')


def clip(text: str, *, limit: int) -> str:
    """Shorten a text to its head and tail with the count of what was left out."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"


class HeadTail:
    """Keeps the first and the last bytes of a stream of any length, and counts what it drops."""

    def __init__(self, *, limit_bytes: int) -> None:
        self._half = limit_bytes // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.total_bytes = 0

    def write(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.total_bytes += len(data)
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-self._half :]
            if len(self._tail) > 2 * self._half:
                del self._tail[: -self._half]

    @property
    def dropped_bytes(self) -> int:
        """How many bytes are in neither the head nor the tail."""
        return self.total_bytes - len(self._head) - min(len(self._tail), self._half)

    def fit(self, limit_bytes: int) -> None:
        """Keep less, until the text takes no more than so many bytes as JSON: of binary a sixth."""
        while (size := json_bytes(self.text())) > limit_bytes:
            data = self._head + self._tail[-self._half :]
            self._half = self._half * limit_bytes // size
            self._head = data[: self._half]
            self._tail = data[max(self._half, len(data) - self._half) :]

    def text(self) -> str:
        """Return what was kept, with a mark where bytes are missing."""
        tail = bytes(self._tail[-self._half :])
        if not self.dropped_bytes:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        mark = f"\n[... {self.dropped_bytes} bytes left out ...]\n"
        return self._head.decode("utf-8", "replace") + mark + tail.decode("utf-8", "replace")
