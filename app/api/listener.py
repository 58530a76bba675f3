"""The socket on which the API listens: opened here, or by whoever starts us."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import socket
import struct
import sys

from app.api.config import ApiSettings
from app.settings import SettingsError

BACKLOG = 2048
SILENT_SECONDS = 30
"""Who neither reads what he is sent nor says that he is still there is cut off after that."""
_ATTACH_FILTER = 26
"""Linux' SO_ATTACH_FILTER, which Python does not name."""
_DROP_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # the flags of TCP,
        (0x45, 0, 1, 0x02),  # with SYN:
        (0x06, 0, 0, 0),  # drop
        (0x06, 0, 0, 0xFFFF),  # else keep
    )
)


class PortTakenError(SettingsError):
    """Somebody else listens there."""


def listen(settings: ApiSettings) -> socket.socket:
    """Returns the listening socket; raises SettingsError when the address is not to be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        what = f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
        if error.errno == errno.EADDRINUSE:
            raise PortTakenError(f"{what}stop what does, or give another --port (PGTICK_API_PORT)") from None
        raise SettingsError(f"{what}correct --host (PGTICK_API_HOST) or --port (PGTICK_API_PORT)") from None
    return _prepare(listener)


def inherit(descriptor: int) -> socket.socket:
    """Returns the listening socket that whoever started us has opened."""
    try:
        listener = socket.socket(fileno=descriptor)
        listens = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError:
        listens = 0
    if not listens:
        raise SettingsError(f"--fd {descriptor} is no listening socket: give the number of one")
    return _prepare(listener)


def refuse_new(listener: socket.socket) -> None:
    """Has nobody begin to connect any more, whichever process has the socket: who tries, tries again in 1 s.

    A handshake that has begun goes on. Elsewhere than on Linux, nothing happens.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(_DROP_SYN)
        with contextlib.suppress(OSError):
            filled = struct.pack("HP", len(_DROP_SYN) // 8, ctypes.addressof(program))
            listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, filled)


def _prepare(listener: socket.socket) -> socket.socket:
    listener.setblocking(False)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # each connection has it from its listener
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT_SECONDS * 1000)
    return listener
