"""`pgtick ticker`, `pgtick worker`, `pgtick bench`: programs of their own, put in this one's place."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

import click

PASS_ON = {"ignore_unknown_options": True}


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def ticker(args: tuple[str, ...]) -> None:
    """Turns due fires into executions; any number may run."""
    _become("workers", "ticker", *args)


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def worker(args: tuple[str, ...]) -> None:
    """Claims executions and runs them; any number may run."""
    _become("workers", "worker", *args)


@click.command(context_settings=PASS_ON, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def bench(args: tuple[str, ...]) -> None:
    """Measures this machine and database."""
    _become("loadtest", *args)


def process_environment(environ: Mapping[str, str], *, user: str = "pgtick_worker") -> dict[str, str]:
    """Returns the environment of a process: with the local database, as that user, where none is given."""
    from app import localdb
    from app.db import NoDatabaseError
    from app.settings import load_settings

    result = dict(environ)
    if load_settings(environ).database is None:
        cluster = localdb.local_cluster()
        if cluster.pid() is None:
            raise NoDatabaseError(
                "there is no database: set DB_WRITE_CONNECTION_STRING, or start the local one by `pgtick up`"
            )
        result["DB_WRITE_CONNECTION_STRING"] = cluster.conninfo(dbname=localdb.DATABASE, user=user)
        result.setdefault(
            "PGTICK_SQL_CONNECTION_STRING", cluster.conninfo(dbname=localdb.DATABASE, user="pgtick_sql")
        )
    return result


def _become(module: str, *args: str) -> NoReturn:
    wants_help = {"--help", "-h"} & set(args)
    environ = dict(os.environ) if wants_help or module == "loadtest" else process_environment(os.environ)
    # -P: ours, whatever the current folder has.
    os.execve(sys.executable, [sys.executable, "-P", "-m", module, *args], environ)  # noqa: S606
