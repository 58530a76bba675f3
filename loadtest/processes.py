"""Real tickers and workers, started as `pgtick ticker` and `pgtick worker` are, and stopped afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

STOP_SECONDS = 20.0


@contextmanager
def running(*arguments: str, conninfo: str, count: int = 1) -> Iterator[list[int]]:
    """Has so many `python -m workers ARGUMENTS` run while the block does, and gives their process ids; one
    that dies is an error.
    """
    environ = dict(os.environ) | {"DB_WRITE_CONNECTION_STRING": conninfo, "PGTICK_LOG_FORMAT": "json"}
    with ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        command = [sys.executable, "-P", "-m", "workers", *arguments]  # -P: ours, as for `pgtick worker`
        processes = [
            subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            for _ in range(count)
        ]
        try:
            yield [process.pid for process in processes]
            died = [process for process in processes if process.poll() is not None]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if died:
            log.seek(0)
            raise RuntimeError(f"{' '.join(arguments)} died: {log.read()[-2000:].decode(errors='replace')}")
