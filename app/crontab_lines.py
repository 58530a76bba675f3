"""The lines of a crontab, read as cron reads them.

A line is blank, a comment, a variable (for the lines below it) or an entry; cron tries them in that order.
What cron itself would refuse is refused here, with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.crontab_fields import split_command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# name = value, either of them in quotes or not; text after a closing quote is an error. Debian's cron wants
# quotes around an empty value, cronie does not.
_VARIABLE = re.compile(
    r"""(?:"(?P<double>[^"=]+)"|'(?P<single>[^'=]+)'|(?P<bare>[^\s="'][^\s=]*))\s*=\s*"""
    r"""(?:"(?P<in_double>[^"]*)"|'(?P<in_single>[^']*)'|(?P<plain>[^"'\s].*)?)\s*"""
)
# What means to be a variable, whatever is wrong with it.
_ASSIGNMENT = re.compile(r"""(?:"(?P<double>[^"=]+)"|'(?P<single>[^'=]+)'|(?P<bare>[A-Za-z_]\w*))\s*=""")
# The dash keeps the log quiet (in cronie). Minutes have no names, so prose is no entry.
_ENTRY = re.compile(r"-?(?P<schedule>@\S+|[0-9*~]\S*(?:[ \t]+\S+){4})[ \t]+(?P<rest>\S.*)")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_ANACRON = re.compile(r"(?:[0-9]+|@[a-z]+)[ \t]+[0-9]+[ \t]+[A-Za-z][\w-]*\.[\w.-]+[ \t]+\S")

# An account that is no program's name, with a command behind it. Most accounts prove nothing: mysql and
# backup are commands too, perhaps only in the PATH of the crontab.
_SURELY_USER = re.compile(
    r"(?:root|nobody|www-data|smmsp|_apt|debian-tor|debian-spamd|systemd-timesync)[ \t]+[^-\s].*"
)

# Where cron keeps users' crontabs, each under its user's name: Debian and busybox, Fedora, SUSE and BSD.
_SPOOL = re.compile(r".*/(?:(?:cron|etc)/crontabs|spool/cron|cron/tabs)/[^/]+")


@dataclass(frozen=True, slots=True)
class Entry:
    """A line that runs a command, with the variables that hold for it.

    `lacking` are those that could not be read: their names and lines.
    """

    line: int
    schedule: str
    command: str
    user: str | None
    variables: dict[str, str]
    lacking: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say about a line: it is not taken, or only with a difference."""

    line: int
    refused: bool
    what: str
    hint: str | None = None


@dataclass(slots=True)
class Crontab:
    """What was found in a crontab; `system` tells whether its entries have a user column.

    `owner` is the user for whom cron keeps it, where its place tells.
    """

    system: bool
    owner: str | None = None
    entries: list[Entry] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def refuse(self, line: int, what: str, hint: str | None = None) -> None:
        """Says that a line is not taken, and why."""
        self.remarks.append(Remark(line, True, what, hint))

    def note(self, line: int, what: str, hint: str | None = None) -> None:
        """Says how a line that is taken differs."""
        self.remarks.append(Remark(line, False, what, hint))


def read_crontab(data: bytes, *, path: Path | None = None, system: bool | None = None) -> Crontab:
    """Reads a crontab; `system` null means to find out whether it has a user column."""
    lines = data.split(b"\n")
    texts = [_text(line) for line in lines]
    if system is None:
        system = _has_users(texts, path)
    crontab = Crontab(system, None if system or path is None else _owner(path))
    if lines[-1].strip():
        crontab.note(
            len(lines), "the last line has no newline, for which cron ignores the file: here it counts"
        )
    if b"\r\n" in data:
        line = data.count(b"\n", 0, data.index(b"\r\n")) + 1
        crontab.note(line, "a Windows line end, which cron would hand to the command: left out")
    variables: dict[str, str] = {}
    lacking: dict[str, int] = {}
    for number, text in enumerate(texts, start=1):
        if text is None:
            crontab.refuse(number, "not UTF-8, or with a zero byte", "save the file as UTF-8")
            text = lines[number - 1].decode(errors="replace").lstrip(" \t")
            if match := _ASSIGNMENT.match(text):
                lacking = {**lacking, _name_of(match): number}
        elif not text or text.startswith("#"):
            continue
        elif match := _VARIABLE.fullmatch(text):
            name, value = _name_of(match), _value_of(match)
            variables = {**variables, name: value}
            lacking = {other: line for other, line in lacking.items() if other != name}
            _remark_on_variable(crontab, number, name, value)
        elif match := _ASSIGNMENT.match(text):
            crontab.refuse(
                number, "not a variable as cron reads it", "put its value, and nothing else, in quotes"
            )
            lacking = {**lacking, _name_of(match): number}
        else:
            _read_entry(crontab, number, text, variables, lacking)
    return crontab


def _owner(path: Path) -> str | None:
    """The user whose crontab cron keeps in this file; null elsewhere."""
    place = path.resolve()
    return place.name if _SPOOL.fullmatch(place.as_posix()) else None


def _text(line: bytes) -> str | None:
    if line.lstrip(b" \t").startswith(b"#"):
        return "#"  # Nobody reads a comment, whatever its encoding.
    try:
        text = line.removesuffix(b"\r").decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.removeprefix("\ufeff").lstrip(" \t")


def _name_of(match: re.Match[str]) -> str:
    return match["double"] or match["single"] or match["bare"] or ""


def _value_of(match: re.Match[str]) -> str:
    return match["in_double"] or match["in_single"] or (match["plain"] or "").rstrip()


def _remark_on_variable(crontab: Crontab, line: int, name: str, value: str) -> None:
    if name in ("MAILTO", "MAILFROM") and value:
        crontab.note(line, f"{name} is not supported: no mail is sent", "output is kept with the execution")
    elif name == "RANDOM_DELAY":
        crontab.note(line, "RANDOM_DELAY is not supported", "set the jobs' jitter")
    elif name == "TZ":
        crontab.note(line, "TZ is only the command's, as in cron", "CRON_TZ moves the schedule")
    elif "$" in value:
        crontab.note(line, f"{name} keeps its $ as it is, as in cron: variables are not expanded")


def _read_entry(
    crontab: Crontab, line: int, text: str, variables: dict[str, str], lacking: dict[str, int]
) -> None:
    if _ANACRON.match(text):
        crontab.refuse(line, "a line of an anacrontab (period, delay, name)", "write it as an @daily entry")
        return
    match = _ENTRY.fullmatch(text)
    if match is None:
        hint = "an entry is five fields and a command, or @daily and a command"
        crontab.refuse(line, "neither a variable nor an entry", hint)
        return
    user, command = None, match["rest"]
    if crontab.system:
        user, command = [*command.split(None, 1), ""][:2]
        if not _USER.fullmatch(user) or not command:
            hint = "a system crontab names a user before the command; --user reads it without"
            crontab.refuse(line, f'"{user}" is no user with a command behind it', hint)
            return
    shell, _ = split_command(command)
    if (len(shell) - len(shell.rstrip("\\"))) % 2:
        hint = "write the command in one line"
        crontab.refuse(line, "ends in a backslash, and cron has no continuation lines", hint)
        return
    crontab.entries.append(Entry(line, match["schedule"], command, user, variables, lacking))


def _has_users(texts: Sequence[str | None], path: Path | None) -> bool:
    """Whether the entries have a user column: by the file's place, else when most name a user beyond doubt.

    Not when in doubt: a user's crontab read so would lose its first words, or run nothing.
    """
    if path is not None:
        place = path.resolve()
        if place.parent.name == "cron.d" or place.parts[-2:] == ("etc", "crontab"):
            return True
        if _owner(path):
            return False
    rests = [match["rest"] for text in texts if (match := _ENTRY.fullmatch(text or ""))]
    return sum(_SURELY_USER.fullmatch(rest) is not None for rest in rests) * 2 > len(rests)
