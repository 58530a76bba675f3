"""The command `pgtick`. Each sub-command is a module of its own, loaded when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import NoReturn

import click
import psycopg

# Sub-command -> module and object. What is not called is not imported: `pgtick psql` needs no Alembic.
COMMANDS = {
    "up": "app.cli.up:up",
    "migrate": "app.cli.migrate:migrate",
    "ticker": "app.cli.processes:ticker",
    "worker": "app.cli.processes:worker",
    "api": "app.cli.api:api",
    "keys": "app.cli.keys:keys",
    "psql": "app.cli.psql:psql",
    "doctor": "app.cli.doctor:doctor",
    "preview": "app.cli.preview:preview",
    "jobs": "app.cli.jobs:jobs",
    "import": "app.cli.crontab:import_",
    "executions": "app.cli.executions:executions",
    "bench": "app.cli.processes:bench",
}

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Returns the names in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Imports a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Runs a command. That its reader, such as `head`, has seen enough is no failure: to click it is."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # What is still buffered must not be tried again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgtick")
def cli() -> None:
    """A job scheduler that lives in PostgreSQL."""
    from app.settings import unknown_variables

    for warning in unknown_variables(os.environ):
        click.echo(f"pgtick: warning: {warning}", err=True)


def main(args: list[str] | None = None) -> NoReturn:
    """Runs a command. Exit code 0: done, 1: it failed, 2: wrong usage; an error is one line."""
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A name that the terminal cannot show, or a path that is no text, is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(cli, args))


def _open_standard_streams() -> None:
    """Has all three, here and in what takes our place: a closed one would be the next connection's."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: PTH123, SIM115 - the first free number
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def run(command: click.Command, args: list[str] | None = None, *, prog_name: str = "pgtick") -> int:
    """Runs a command and returns its exit code."""
    from app.binaries import ClusterError
    from app.db import NoDatabaseError, describe_error
    from app.settings import SettingsError

    try:
        code = command.main(args, prog_name=prog_name, standalone_mode=False)
        # What the last command returned is not for the shell; ctx.exit(n) arrives here as n.
        return code if isinstance(code, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        # Of many lines: who types no more than this wants to know what there is.
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else prog_name
        return _fail(
            f"{_one_line(error.format_message()).rstrip('.')} (see `{path} --help`)", code=WRONG_USAGE
        )
    except click.ClickException as error:
        return _fail(error.format_message(), code=error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except click.Abort as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            return INTERRUPTED
        return _fail("not confirmed, nothing was done (--yes needs no answer)")
    except psycopg.Error as error:
        return _fail(describe_error(error))
    except (ClusterError, NoDatabaseError, SettingsError) as error:
        return _fail(_one_line(str(error)))
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _fail(_one_line(what))
    except UnicodeError as error:
        return _fail(f"an argument, a variable or a file is not UTF-8: {_one_line(str(error))}")


def _fail(message: str, *, code: int = FAILED) -> int:
    click.echo(f"pgtick: {message}", err=True)
    return code


def _one_line(text: str) -> str:
    return " ".join(text.split())
