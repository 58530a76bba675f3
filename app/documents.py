"""JSON whose numbers lose no digit: to the database 1.10 is not 1.1."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec

# Python converts no integer of more than 4,300 digits; one of 3,500 hexadecimal digits has 4,215.
MAX_INTEGER_DIGITS = 3500

_encoder = msgspec.json.Encoder(decimal_format="number")


def from_json(text: str | bytes) -> Any:
    """The value; raises ValueError where it is no JSON."""
    return json.loads(text, parse_float=Decimal, parse_int=_integer, parse_constant=_refuse)


def to_json(value: Any, *, indent: int = 0) -> str:
    """The value as text: in one line, or indented."""
    return msgspec.json.format(_encoder.encode(value), indent=indent).decode()


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else Decimal(text)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON can hold")
