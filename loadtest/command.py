"""What the commands here have in common: how they end."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from app.cli import run
from migrations.runner import MigrationError

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Output(click.Path):
    """A file to be written when all is measured: that it cannot be is said before, not after ten minutes."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path."""
        path = Path(str(super().convert(value, param, ctx)))
        existed = path.exists()
        try:
            path.open("a").close()
            if not existed:
                path.unlink()
        except OSError as error:
            self.fail(f"{path}: {error.strerror}", param, ctx)
        return path


def main(command: click.Command, name: str) -> NoReturn:
    """Runs a benchmark: an error is a line, and whatever ends it, what it has started is stopped."""
    for number in ENDS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, _end)
    try:
        code = run(command, prog_name=name)
    except (MigrationError, RuntimeError) as error:
        click.echo(f"pgtick: {error}", err=True)
        code = 1
    sys.exit(code)


def _end(number: int, _: FrameType | None) -> NoReturn:
    """Leaves by way of what cleans up; a second signal, of make or of the impatient, is late."""
    for each in ENDS:
        signal.signal(each, lambda *_: None)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)
