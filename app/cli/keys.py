"""`pgtick keys`: the keys of the REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from app.cli._find import with_times
from app.cli._output import OutputFormat, output_option, print_row, print_rows

if TYPE_CHECKING:
    import psycopg

PREFIX_LENGTH = 12
SCOPES = ("read", "enqueue", "operate", "admin")
_COLUMNS = ("prefix", "name", "scopes", "status", "created_at", "created_by", "expires_at", "key_id")
_key_argument = click.argument("key", metavar="NAME|PREFIX|ID")


@click.group()
def keys() -> None:
    """Make keys of the REST API, replace them, end them."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="What the key may do; give it once for each.",
)
@click.option("--expires", metavar="LENGTH", help="After so long, such as 90d or 12h; else never.")
@output_option
def create(name: str, *, scopes: tuple[str, ...], expires: str | None, output: OutputFormat) -> None:
    """Make a key and print its secret: alone on stdout, this once."""
    from app.db import connect

    with connect() as conn:
        row = _call(
            conn,
            "select k.key_id, k.api_key from scheduler.create_api_key("
            "name => %(name)s, scopes => %(scopes)s,"
            " expires_at => scheduler.now() + %(expires)s::interval) k",
            {"name": name, "scopes": list(scopes), "expires": expires},
            option="--expires",
        )
        _print_secret(conn, row, output=output)


@keys.command("list")
@click.option("--all", "show_all", is_flag=True, help="Also those that are revoked or expired.")
@output_option
def list_(*, show_all: bool, output: OutputFormat) -> None:
    """List the keys, the newest first."""
    from app.db import connect

    with connect() as conn:
        rows = [row for row in _fetch(conn) if show_all or row["status"] == "active"]
    if output == "table":
        print_rows([with_times({name: row[name] for name in _COLUMNS}) for row in rows])
    else:
        print_rows(rows, output=output)


@keys.command()
@_key_argument
@click.option("--overlap", metavar="LENGTH", default="1d", show_default=True, help="So long both work.")
@output_option
def rotate(key: str, *, overlap: str, output: OutputFormat) -> None:
    """Make a second key of the same name and scopes; the old one works on for the overlap."""
    from app.db import connect

    with connect() as conn:
        # Of a name that was rotated before, the key that is to be replaced now is the newest.
        found = _find([row for row in _fetch(conn) if row["replaced_by"] is None], key)
        row = _call(
            conn,
            "select k.key_id, k.api_key from scheduler.rotate_api_key("
            "key_id => %(key_id)s, overlap => %(overlap)s::interval) k",
            {"key_id": found["key_id"], "overlap": overlap},
            option="--overlap",
        )
        _print_secret(conn, row, output=output)


@keys.command()
@_key_argument
def revoke(key: str) -> None:
    """End a key, at once and for good."""
    from app.db import connect

    with connect() as conn:
        found = _find(_fetch(conn), key)
        conn.execute("select scheduler.revoke_api_key(key_id => %s)", [found["key_id"]])
    click.echo(f"revoked {found['name']} ({found['prefix']}…)")


def _call(
    conn: psycopg.Connection[Any], statement: str, arguments: dict[str, Any], *, option: str
) -> tuple[Any, str]:
    from psycopg import errors

    try:
        row: tuple[Any, str] = conn.execute(statement.encode(), arguments).fetchall()[0]
    except (errors.InvalidDatetimeFormat, errors.DatetimeFieldOverflow, errors.IntervalFieldOverflow):
        raise click.BadParameter("no length: write it like 90d, 12h or '1 year'", param_hint=option) from None
    return row


def _print_secret(conn: psycopg.Connection[Any], row: tuple[Any, str], *, output: OutputFormat) -> None:
    """Prints a new key: for people what is no secret goes to stderr, so that a pipe gets the secret alone."""
    key_id, secret = row
    (shown,) = (each for each in _fetch(conn) if each["key_id"] == str(key_id))
    if output == "json":
        print_row({**shown, "api_key": secret}, output=output)
        return
    click.echo(secret)
    ends = f"until {shown['expires_at']}" if shown["expires_at"] else "until it is revoked"
    click.echo(
        f"pgtick: the key {shown['name']} ({', '.join(shown['scopes'])}) works {ends}; it is not shown again",
        err=True,
    )


def _fetch(conn: psycopg.Connection[Any]) -> list[dict[str, Any]]:
    rows = conn.execute(
        "select to_jsonb(k) from scheduler.api_keys k order by k.created_at desc, k.key_id"
    ).fetchall()
    return [row for (row,) in rows]


def _find(rows: list[dict[str, Any]], named: str) -> dict[str, Any]:
    """Returns the key with this id, with these first characters, or the one that works under this name."""
    prefix = named[:PREFIX_LENGTH] if named.startswith("pgt_") else None
    found = [row for row in rows if row["key_id"] == named.lower() or row["prefix"] == prefix]
    found = found or [row for row in rows if row["name"] == named and row["status"] == "active"]
    if not found:
        raise click.ClickException(f'no key "{prefix or named}" works; see pgtick keys list')
    if len(found) > 1:
        prefixes = ", ".join(row["prefix"] for row in found)
        raise click.ClickException(f'there are {len(found)} keys "{named}": name one of {prefixes}')
    return found[0]
