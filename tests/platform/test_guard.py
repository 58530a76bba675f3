"""What a test process started ends with it, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cluster import Cluster
from tests.support.cli import ROOT, environment
from tests.support.guard import is_alive
from tests.support.program import wait_until

# Leaves a running Redis, a frozen one and a PostgreSQL, as a test does that is killed in the middle.
SCRIPT = """
import signal, sys, time
from pathlib import Path
from app.cluster import Cluster
from tests.support.guard import guard
from tests.support.redis_server import Redis

folder = Path(sys.argv[1])
guard().add_folder(folder)
guard().add_cluster(folder / "postgresql")
cluster = Cluster(folder / "postgresql", settings={"fsync": "off"})
cluster.start()
pids = [cluster.pid()]
for name in ("running", "frozen"):
    (folder / name).mkdir()
    redis = Redis(folder / name)
    pids.append(redis.pid)
redis.freeze()
# Whoever starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
print(*pids, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_of_a_killed_process(server_folder: Path, sign: signal.Signals) -> None:
    folder = server_folder / "left"
    folder.mkdir(mode=0o711)
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment(),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 3
        assert all(is_alive(pid) for pid in pids)
        process.send_signal(sign)
        process.wait(30)
        wait_until(lambda: not any(is_alive(pid) for pid in pids), f"{pids} end")
        wait_until(lambda: not folder.exists(), "the folder is removed")


def test_what_ended_in_order_is_forgotten(server_folder: Path) -> None:
    home = server_folder / "kept"
    script = """
import sys
from pathlib import Path
from app.cluster import Cluster
from tests.support.guard import guard
home = Path(sys.argv[1])
guard().add_cluster(home)
guard().add_folder(home)
Cluster(home, settings={"fsync": "off"}).start()
guard().remove_folder(home)
"""
    subprocess.run([sys.executable, "-c", script, str(home)], env=environment(), cwd=ROOT, check=True)
    cluster = Cluster(home)
    assert cluster.pid() is not None
    cluster.stop()
