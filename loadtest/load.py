"""The mixed profile of locust against all of it on this machine: nginx, two API processes, a replica,
PgBouncer, Redis, a worker. Fails where the promise is missed: no failure, 95 % of the answers within 200 ms.

`python -m loadtest.load [--rate 170] [--seconds 60]`, in a checkout: the servers are those of the tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from loadtest.api_server import fill
from loadtest.processes import running
from loadtest.server import DURABLE
from tests.support.api_process import ApiProcess
from tests.support.nginx import Nginx
from tests.support.topology import running_topology

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
JOBS = 100
EXECUTIONS = 10_000
USERS_PER_REQUEST_A_SECOND = 4


@click.command()
@click.option("--rate", default=170.0, help="Requests a second; 170 are 10,000 a minute.", show_default=True)
@click.option("--seconds", default=60, help="How long.", show_default=True)
@click.option("--processes", default=2, help="API processes.", show_default=True)
def load(rate: float, seconds: int, processes: int) -> None:
    """Runs the mixed profile."""
    with ExitStack() as stack:
        topology = stack.enter_context(
            running_topology(_folder(stack, mode=0o711), replicas=1, settings=DURABLE)
        )
        key = fill(topology, jobs=JOBS, executions=EXECUTIONS)
        logs = _folder(stack)
        ports = [
            stack.enter_context(ApiProcess(topology.environ(), log=logs / f"api-{number}.log")).port
            for number in range(processes)
        ]
        nginx = stack.enter_context(Nginx(_folder(stack, mode=0o755), ports))
        worker = topology.pooled_conninfo(user="pgtick_worker")
        stack.enter_context(running("worker", "--handlers", "loadtest.handlers", conninfo=worker))
        users = max(10, int(rate / USERS_PER_REQUEST_A_SECOND))
        command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--only-summary"]
        command += ["-H", nginx.url, "-u", str(users), "-r", str(users), "-t", f"{seconds}s"]
        environ = {**os.environ, "PGTICK_API_KEY": key, "PGTICK_LOAD_RATE": str(rate)}
        sys.exit(subprocess.run(command, env=environ, check=False).returncode)


def _folder(stack: ExitStack, *, mode: int = 0o700) -> Path:
    """Returns a folder on the disk; servers that run under accounts of their own have to reach it."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgtick-load-")))
    folder.chmod(mode)
    return folder


if __name__ == "__main__":
    load()
