"""Real tickers and workers, started as `pgtick ticker` and `pgtick worker` are, and stopped afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 20.0
OURS = ("PGTICK_", "DB_", "REDIS_", "NODE_ID", "OTEL_")


def unset(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without any setting of pgtick: what is exported for a database of the user's
    would have what is measured listen there, read from its replicas, or serve other queues.
    """
    return {name: value for name, value in environ.items() if not name.startswith(OURS)}


@contextmanager
def running(*arguments: str, conninfo: str, count: int = 1) -> Iterator[list[int]]:
    """Has so many `python -m workers ARGUMENTS` run while the block does, and gives their process ids; one
    that dies is an error.
    """
    environ = unset(os.environ) | {"DB_WRITE_CONNECTION_STRING": conninfo, "PGTICK_LOG_FORMAT": "json"}
    command = [sys.executable, "-P", "-m", "workers", *arguments]  # -P: ours, as for `pgtick worker`
    with kept_running(command, name=" ".join(arguments), environ=environ, count=count) as processes:
        yield [process.pid for process in processes]


@contextmanager
def kept_running(
    command: Sequence[str], *, name: str, environ: Mapping[str, str], count: int, folder: Path | None = None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Has so many processes run while the block does; one that dies is the error, whatever failed for it."""
    processes: list[subprocess.Popen[bytes]] = []
    failure: Exception | None = None
    with tempfile.TemporaryFile() as log:
        try:
            processes.extend(
                subprocess.Popen(
                    command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
                for _ in range(count)
            )
            try:
                yield processes
            except Exception as error:
                failure = error
            died = any(process.poll() is not None for process in processes)
        finally:
            _stop(processes)
        if died:
            log.seek(0)
            said = log.read()[-2000:].decode(errors="replace").strip()
            raise RuntimeError(f"{name} died: {said}") from failure
        if failure is not None:
            raise failure


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
        process.send_signal(signal.SIGCONT)  # in case that it is halted
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
