"""`pgtick migrate`."""

from __future__ import annotations

import click
from psycopg.errors import InsufficientPrivilege


@click.command()
@click.option("--check", is_flag=True, help="Only list what is pending; exit code 1 if anything is.")
@click.option("--sql", is_flag=True, help="Only print the SQL that sets up an empty database.")
def migrate(*, check: bool, sql: bool) -> None:
    """Brings the database's schema to this version; twice is as good as once."""
    if check and sql:
        raise click.UsageError("--check and --sql exclude each other")
    from migrations import runner

    if sql:
        click.echo(runner.offline_sql(), nl=False)
        return
    conninfo = _database()
    try:
        names = runner.pending(conninfo) if check else runner.migrate(conninfo)
    except runner.MigrationError as error:
        raise click.ClickException(str(error)) from error
    except InsufficientPrivilege as error:
        raise click.ClickException(
            f"{error.diag.message_primary}: name the login that migrates in DB_DIRECT_CONNECTION_STRING"
        ) from error
    for name in names:
        click.echo(f"{'pending' if check else 'applied'}  {name}")
    if not names:
        click.echo("the schema is up to date")
    elif check:
        raise click.ClickException(f"{len(names)} pending: run `pgtick migrate`")


def _database() -> str:
    from app.db import connect, direct_conninfo

    conninfo = direct_conninfo()
    connect(conninfo).close()  # with the time limit and the settings that all commands use
    return conninfo
