"""APScheduler with its jobs in PostgreSQL: `COUNT SECONDS` makes so many, due each minute, and runs them.

Its job store takes what is due, hands it to a pool of ten threads, and updates the row of each job.
"""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler


def fire() -> None:
    """Note the time."""
    with Path(os.environ["RIVALS_WAITED"]).open("a") as file:
        file.write(f"{time.time()}\n")


def main(count: int, seconds: float) -> None:
    """Run the scheduler for so long."""
    url = os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://")
    scheduler = BackgroundScheduler(jobstores={"default": SQLAlchemyJobStore(url=url)}, timezone="UTC")
    scheduler.start(paused=True)
    for _ in range(count):
        # Whatever its delay it runs: by default a job that is a second late is skipped.
        scheduler.add_job(f"{__spec__.name}:fire", "cron", second=0, misfire_grace_time=None)
    scheduler.resume()
    time.sleep(seconds)
    scheduler.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
