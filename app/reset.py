"""`make db-reset`: throws the local database away, after asking."""

from __future__ import annotations

import shutil

import click

from app import localdb
from app.binaries import ClusterError

# By name, never the folder as a whole: PGTICK_DATA_DIR may name one that holds other things too.
OURS = (
    *("data", "data.new", "logs", "pgpass", "port", "api-key", "jobs.yaml", "server.log"),
    *("start.lock", "users.lock"),
)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(*, yes: bool) -> None:
    """Deletes the local database with all its jobs and history."""
    try:
        cluster = localdb.local_cluster()
        if not cluster.data.exists():
            click.echo(f"there is no local database in {cluster.home}")
            return
        if not yes:
            click.confirm(f"delete the local database in {cluster.home} with all its jobs?", abort=True)
        cluster.stop()
    except ClusterError as error:
        raise click.ClickException(str(error)) from error
    for name in OURS:
        path = cluster.home / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    click.echo(f"deleted the local database in {cluster.home}")


if __name__ == "__main__":
    reset()
