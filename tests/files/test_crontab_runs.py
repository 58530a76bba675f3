"""Imported entries, run by a real worker, do what they did under cron."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import Connection

from app.crontab import import_crontab
from tests.conftest import Database

PATIENCE_SECONDS = 60

# The lines with percent signs, and the variables, were run by Debian's cron 3.0pl1-162 too: with this output.
CRONTAB = r"""
SHELL=/bin/bash
GREETING = "  hello"
'Q' = 'x=y'
BARE=it's fine # really
LITERAL=$HOME/bin
HOME={home}
0 0 1 1 * printf '\%s|' "$GREETING" "$Q" "$BARE" "$LITERAL"; pwd
0 0 1 1 * cat%a%b
0 0 1 1 * cat%a%%
0 0 1 1 * cat%100\% of%x
0 0 1 1 * [[ -n $BASH_VERSION ]] && cat && echo bash
0 0 1 1 * cat; : \\%in
0 0 1 1 * cat%\n \\
0 0 1 1 * cat%x\
"""
EXPECTED = [
    "  hello|x=y|it's fine # really|$HOME/bin|{home}\n",
    "a\nb\n",
    "a\n\n",
    "100% of\nx\n",
    "bash\n",
    "in\n",
    "\\n \\\\\n",
    "x\\\n",
]


@pytest.fixture
def worker(database: Database) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {"DB_WRITE_CONNECTION_STRING": database.dsn(user="pgtick_worker")}
    with subprocess.Popen([sys.executable, "-m", "workers", "worker", "--allow-command"], env=env) as process:
        yield process
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.mark.usefixtures("worker")
def test_entries_do_what_they_did_under_cron(db: Connection[Any], tmp_path: Path) -> None:
    text = CRONTAB.replace("{home}", str(tmp_path))
    report = import_crontab(db, text.encode(), system=False)
    assert report.complete
    names = [name for _, name in sorted(report.taken.items())]
    for name in names:
        db.execute("select scheduler.trigger_job(job_id) from scheduler.jobs where name = %s", [name])
    rows: dict[str, dict[str, Any]] = {}
    give_up = time.monotonic() + PATIENCE_SECONDS
    while len(rows) < len(names) and time.monotonic() < give_up:
        rows = dict(
            db.execute("select job_name, result from scheduler.executions where status = 'succeeded'")
        )
        time.sleep(0.1)
    assert [rows[name]["stdout"] for name in names] == [
        text.replace("{home}", str(tmp_path)) for text in EXPECTED
    ]
