"""The fields of a crontab entry in pgtick's terms: the schedule, and the command with its input."""

from __future__ import annotations

import re

_RANDOM = re.compile(r"(?P<low>[0-9]{0,2})~(?P<high>[0-9]{0,2})(?P<step>/[0-9]{1,4})?")
_VALUE = "(?:[0-9]+|[A-Za-z]{3})"
_ITEM = re.compile(rf"(?:\*|{_VALUE}-{_VALUE})(?:/[0-9]+)?|{_VALUE}")
_STEP_WITHOUT_RANGE = re.compile(r"(?P<start>[0-9A-Za-z]+)/(?P<step>[0-9]+)")
_NAMES = ("minute", "hour", "day-of-month", "month", "day-of-week")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


class CronFieldError(Exception):
    """A schedule that cron has and pgtick does not, or that neither has."""

    def __init__(self, what: str, hint: str) -> None:
        self.what = what
        self.hint = hint
        super().__init__(f"{what}; {hint}")


def translate_schedule(schedule: str) -> str:
    """The schedule that has the same instants here; raises CronFieldError where there is none."""
    if schedule.startswith("@"):
        if schedule == "@reboot":
            raise CronFieldError(
                "@reboot runs when the machine starts, which a database does not see",
                "start it from the system, for example by a systemd unit",
            )
        return schedule
    fields = [_translate_field(index, text) for index, text in enumerate(schedule.split())]
    day, weekday = fields[2], fields[4]
    # Debian's cron wants both day fields when either begins with a star, be it "*" or "*/2"; pgtick's syntax
    # only when an entry "*" is the first. Its "+" says the former.
    if "*" in (day[0], weekday[0]) and not any(text.split(",")[0] == "*" for text in (day, weekday)):
        fields[4] = "+" + weekday
    return " ".join(fields)


def _translate_field(index: int, text: str) -> str:
    return ",".join(_translate_item(index, item) for item in text.split(","))


def _translate_item(index: int, item: str) -> str:
    if match := _STEP_WITHOUT_RANGE.fullmatch(item):
        start, step = match["start"], match["step"]
        raise CronFieldError(
            f'"{item}" in the {_NAMES[index]} field has a step without a range, which cron refuses',
            f"write {start}-{_BOUNDS[index][1]}/{step}, or {start} alone",
        )
    if _ITEM.fullmatch(item):
        return item
    match = _RANDOM.fullmatch(item)
    if match is None:
        raise CronFieldError(
            f'"{item}" in the {_NAMES[index]} field is nothing that cron knows', "see crontab(5)"
        )
    low, high = _BOUNDS[index]
    first, last = int(match["low"] or low), int(match["high"] or high)
    step = match["step"] or ""
    # Random at cron's start, there; here drawn from the job's name, the same for ever.
    return str(first) if first == last else f"H({first}-{last}){step}"


def split_command(text: str) -> tuple[str, str | None]:
    r"""The command and its standard input: an unescaped % ends the command, later ones are newlines, \% is %.

    A backslash keeps any other character, itself included, and stays: exactly as cron walks the line.
    """
    command: list[str] = []
    escaped = False
    for index, char in enumerate(text):
        if escaped:
            if char == "%":
                command.pop()
        elif char == "%":
            return "".join(command), _input(text[index + 1 :])
        escaped = char == "\\" and not escaped
        command.append(char)
    return "".join(command), None


def _input(text: str) -> str:
    out: list[str] = []
    escaped, complete = False, True
    for char in text:
        if escaped and char != "%":
            out.append("\\")
        written = "\n" if char == "%" and not escaped else char
        escaped = char == "\\"
        if not escaped:
            out.append(written)
            complete = written == "\n"
    if escaped:
        out.append("\\")
    # Cron looks at the last character that was no backslash.
    return "".join(out) + ("" if complete else "\n")
