"""What is wrong with a file of jobs: every problem with its line, all of them at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to do about it."""

    line: int
    job: str | None
    what: str
    hint: str | None = None

    def render(self, file: str) -> str:
        """The problem as one line in the form that editors jump to."""
        where = f"{file}:{self.line}: {self.job}: " if self.job else f"{file}:{self.line}: "
        return printable(where + self.what + (f"; {self.hint}" if self.hint else ""))


class JobFileError(Exception):
    """The file was refused as a whole: nothing of it was applied."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = sorted(problems, key=lambda problem: problem.line)
        super().__init__("\n".join(problem.render(file) for problem in self.problems))


def nearest(word: str, known: Sequence[str]) -> str:
    """A hint that names the known word nearest to this one, or all of them when none is near."""
    match = difflib.get_close_matches(word, known, n=1)
    return f'did you mean "{match[0]}"?' if match else f"known are {', '.join(known)}"


def printable(line: str) -> str:
    """The line without what would move a terminal's cursor or begin another line."""
    return "".join(char if char.isprintable() else "\ufffd" for char in line)
