"""The worker: claims executions, runs them, records how they ended.

    claimer ──► runner ──► finisher     one connection each, so that none waits for another;
                  ▲                     the claimer asks for what the runner has room for, and for nothing
    heartbeat ────┘ stop orders         while the finisher cannot get rid of what has ended
    (own thread)

A listener wakes the claimer where the database says what is ready.

What the database does not hear of within the lease goes to other workers; so everything stops here a second
earlier.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import psycopg
import structlog

from workers import queries
from workers.claimer import Claimer
from workers.database import Link, describe
from workers.executions import Executor, Outcome, Run
from workers.executors.command import CommandExecutor
from workers.executors.http import HttpExecutor
from workers.executors.python import PythonExecutor
from workers.executors.sql import SqlExecutor
from workers.finisher import Finisher
from workers.heartbeat import Heartbeat, HeartbeatThread
from workers.lease import Lease
from workers.listener import Listener
from workers.looper import Looper, Outage
from workers.processes import Keeper
from workers.queries import StopOrder
from workers.registry import Handler
from workers.reporter import Reporter
from workers.runner import Runner
from workers.settings import Settings
from workers.tracing import Tracing

_log = structlog.get_logger("worker")

RECORD_SECONDS = 5.0
"""How long a leaving worker tries to record what has ended."""


WARM_UP_SECONDS = 1.0
"""How long a worker that starts has its sessions plan; what holds that up for longer is worth no wait."""

GUARD_SECONDS = 0.5
"""How often the lease is looked at: less than the margin that it has."""


class LeaseGuard(Looper):
    """Stops everything when the lease is over, and lets the worker go on under a new id."""

    name = "lease"

    def __init__(self, outage: Outage, *, lease: Lease, runner: Runner, finisher: Finisher) -> None:
        super().__init__(outage)
        self._lease = lease
        self._runner = runner
        self._finisher = finisher

    async def turn(self) -> float:
        """Look at the clock."""
        if self._lease.expired:
            self.give_up()
        # To its end, but not all at once: this loop's timers stand still while the machine sleeps.
        return min(self._lease.seconds_left or GUARD_SECONDS, GUARD_SECONDS)

    def give_up(self) -> None:
        """Stop everything: what ran belongs to others by now."""
        _log.error("the lease is lost, stopping what runs", worker_id=str(self._lease.worker_id))
        self._runner.stop_all("lost")
        self._finisher.discard_all()
        self._lease.give_up()


class Worker:
    """One worker process."""

    def __init__(
        self, settings: Settings, *, handlers: Mapping[str, Handler], tracing: Tracing | None = None
    ) -> None:
        self._settings = settings
        self._keeper = Keeper()
        self._executors = make_executors(settings, handlers=handlers, keeper=self._keeper)
        self._lease = lease = Lease(seconds=settings.lease_seconds)
        self._outage = outage = Outage()
        self._links = {
            part: Link(settings.database, application_name=f"pgtick {part} {settings.node_id}")
            for part in ("claimer", "finisher", "reporter")
        }
        self._reporter = Reporter(self._links["reporter"], outage, lease=lease)
        self._runner = Runner(
            self._executors,
            concurrency=settings.concurrency,
            on_outcome=self._ended,
            on_progress=self._reporter.report,
            tracing=tracing,
        )
        self._finisher = Finisher(
            self._links["finisher"],
            outage,
            lease=lease,
            forget=self._runner.forget,
            is_busy=lambda: self._runner.busy,
            on_room=lambda: self._claimer.hear(),
        )
        self._claimer = Claimer(
            self._links["claimer"],
            outage,
            settings,
            lease=lease,
            runner=self._runner,
            finisher=self._finisher,
            handlers=list(handlers),
            on_no_lease=self._beat_now,
        )
        self._listeners = [
            Listener(
                conninfo,
                Outage("direct connection"),
                database=settings.database,
                node_id=settings.node_id,
                claimer=self._claimer,
            )
            for conninfo in [settings.direct_database]
            if conninfo is not None
        ]
        self._guard = LeaseGuard(outage, lease=lease, runner=self._runner, finisher=self._finisher)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then leave in order; raises where the worker cannot work at all."""
        try:
            await self._check_database()
            await self._start_executors()
            await self._warm_up()
            heartbeat = self._start_heartbeat()
            tasks = [
                asyncio.create_task(looper.run(), name=looper.name)
                for looper in (
                    self._claimer,
                    self._finisher,
                    self._reporter,
                    self._guard,
                    *self._listeners,
                )
            ]
            _log.info(
                "working",
                worker_id=str(self._lease.worker_id),
                job_types=list(self._executors),
                concurrency=self._settings.concurrency,
                queues=list(self._settings.queues) or "all",
            )
            try:
                await _until(stop, tasks)
                await self._leave(heartbeat, tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await heartbeat.stop()
            await self._say_goodbye()
        finally:
            for executor in self._executors.values():
                await executor.close()
            for link in self._links.values():
                await link.close()
            self._keeper.close()

    async def _start_executors(self) -> None:
        for executor in self._executors.values():
            await executor.start()

    async def _check_database(self) -> None:
        """Fail at once and clearly where no retry helps: a wrong password, an old schema."""
        async with self._links["claimer"].call() as conn:
            await queries.check(conn)

    async def _warm_up(self) -> None:
        """Have both links' sessions plan now: their first job would wait 15 ms to be claimed, 15 to be ended.

        At once, so that behind a pooler they are two. Only speed is lost where it fails.
        """

        async def warm_up(part: str) -> None:
            async with self._links[part].call(seconds=WARM_UP_SECONDS) as conn:
                await queries.warm_up(conn)

        for error in await asyncio.gather(*map(warm_up, ("claimer", "finisher")), return_exceptions=True):
            if isinstance(error, psycopg.Error):
                _log.warning("began without plans", error=describe(error))
            elif error is not None:
                raise error

    def _start_heartbeat(self) -> HeartbeatThread:
        loop = asyncio.get_running_loop()

        def on_orders(orders: list[StopOrder]) -> None:
            loop.call_soon_threadsafe(self._runner.obey, orders)

        def on_lease() -> None:
            loop.call_soon_threadsafe(self._claimer.hear)

        self._heartbeat = HeartbeatThread(
            Heartbeat(
                self._settings,
                self._outage,
                lease=self._lease,
                keeper=self._keeper,
                job_types=list(self._executors),
                held=self._runner.held,
                on_orders=on_orders,
                on_lease=on_lease,
            )
        )
        self._heartbeat.start()
        return self._heartbeat

    async def _leave(self, heartbeat: HeartbeatThread, tasks: list[asyncio.Task[None]]) -> None:
        """Claim no more, give back what came in last, finish what runs within the grace, record it."""
        _log.info("leaving", grace_seconds=self._settings.grace_seconds)
        self._claimer.stop()
        heartbeat.drain()
        await tasks[0]
        try:
            async with asyncio.timeout(self._settings.grace_seconds):
                await self._runner.wait_idle()
        except TimeoutError:
            _log.warning("the grace is over, stopping what runs; others will run it again")
            self._runner.stop_all("shutdown")
            await self._runner.wait_idle()
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await self._finisher.wait_empty()
        except TimeoutError:
            _log.error(
                "ends cannot be recorded, leaving without; others will run these executions again",
                executions=self._finisher.waiting,
            )

    async def _say_goodbye(self) -> None:
        try:
            async with self._links["claimer"].call() as conn:
                await queries.stop_worker(conn, worker_id=self._lease.worker_id)
        except psycopg.Error as error:
            _log.warning("left without a goodbye; the lease will run out", error=describe(error))
        _log.info("left")

    def _ended(self, run: Run, outcome: Outcome) -> None:
        self._reporter.forget(run)
        self._finisher.add(run, outcome)
        self._claimer.use_room()

    def _beat_now(self) -> None:
        self._heartbeat.wake()


async def _until(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait until the worker is to stop; raises what ended one of its parts, which never end by themselves."""
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        stopping.cancel()


def make_executors(
    settings: Settings, *, handlers: Mapping[str, Handler], keeper: Keeper
) -> dict[str, Executor]:
    """Make an executor for each job type that this worker is configured for: others it does not claim."""
    executors: dict[str, Executor] = {"http": HttpExecutor(settings)}
    if settings.sql_database is not None:
        executors["sql"] = SqlExecutor(settings)
    if handlers:
        executors["python"] = PythonExecutor(settings, handlers=handlers, keeper=keeper)
    if settings.allow_command:
        executors["command"] = CommandExecutor(keeper)
    return executors
