"""`python -m workers ticker|worker`: what `pgtick ticker` and `pgtick worker` start."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

import click
import psycopg

from workers.database import advise, describe
from workers.executors.children import ChildDiedError
from workers.executors.sql import SqlLoginError
from workers.logs import configure_logs
from workers.metrics import serve_metrics
from workers.registry import Handler, HandlerError, load_handlers
from workers.settings import Settings, SettingsError, current_settings
from workers.ticker import run_ticker
from workers.tracing import make_tracing
from workers.worker import Worker

STRAY_SECONDS = 1.0
"""How long a handler that goes on although it was given up may hold up the end of its worker."""

EXIT_SECONDS = 5.0
"""How long the interpreter may take to end: it joins threads, and runs what handlers gave to atexit."""

COLLECT_AFTER = 20_000
"""How many more objects there are before the garbage collector looks for circles among the new ones."""

Main = Callable[[asyncio.Event], Awaitable[None]]


@click.group(
    help="The processes that make pgtick run: any number of tickers, any number of workers.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def main() -> None:
    """Choose what to run."""


@main.command(help="Look at the settings and the handlers as a worker does, and start nothing.")
def check() -> None:
    """Fail where a worker would not start."""
    _handlers(_settings(current_settings))


@main.command(help="Turn due fires into executions.")
def ticker() -> None:
    """Run a ticker."""
    settings = _settings(current_settings)
    _run(settings, lambda stop: run_ticker(settings.database, node_id=settings.node_id, stop=stop))


@main.command(help="Claim executions and run them.")
@click.option("--queues", metavar="A,B", help="Claim from these queues only.")
@click.option("--concurrency", type=click.IntRange(1, 10_000), help="Run so many at a time (default 10).")
@click.option("--handlers", metavar="PKG.MOD,…", help="Modules that register Python handlers.")
@click.option("--allow-command", is_flag=True, default=None, help="Run commands, as this process's user.")
def worker(
    queues: str | None, concurrency: int | None, handlers: str | None, allow_command: bool | None
) -> None:
    """Run a worker."""
    settings = _settings(
        lambda: current_settings(
            queues=queues, concurrency=concurrency, handlers=handlers, allow_command=allow_command
        )
    )
    registered = _handlers(settings)

    async def work(stop: asyncio.Event) -> None:
        tracing = make_tracing(os.environ, node_id=settings.node_id)
        try:
            await Worker(settings, handlers=registered, tracing=tracing).run(stop)
        finally:
            if tracing is not None:
                await tracing.close()

    _run(settings, work)


def _settings(load: Callable[[], Settings]) -> Settings:
    try:
        return load()
    except SettingsError as error:
        _fail(str(error))


def _handlers(settings: Settings) -> dict[str, Handler]:
    try:
        return load_handlers(settings.handler_modules)
    except HandlerError as error:
        _fail(str(error))


def _run(settings: Settings, work: Main) -> None:
    configure_logs(settings.log_format, node_id=settings.node_id, level=settings.log_level)
    try:
        if settings.metrics_port is not None:
            _serve_metrics(settings.metrics_port, node_id=settings.node_id)
        _run_loop(_until_signalled(work))
    except (psycopg.errors.UndefinedFunction, psycopg.errors.InvalidSchemaName) as error:
        _fail(f"{describe(error)}: this database has no pgtick or an old one; run `pgtick migrate`")
    except psycopg.Error as error:
        reason = advise(error, variable="DB_WRITE_CONNECTION_STRING", role="scheduler_worker")
        _fail(f"cannot use the database: {reason}")
    except (SettingsError, ChildDiedError, SqlLoginError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"cannot start: {error}")


def _serve_metrics(port: int, *, node_id: str) -> None:
    try:
        serve_metrics(port, node_id=node_id)
    except OSError as error:
        _fail(f"cannot listen on port {port} (PGTICK_METRICS_PORT), one for each process: {error.strerror}")


async def _until_signalled(work: Main) -> None:
    """Leave in order on the first SIGTERM or SIGINT; on the second at once: the keeper ends the children."""
    stop = asyncio.Event()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await work(stop)
    finally:
        await _leave_behind(exit_code=0 if sys.exc_info()[0] is None else 1)


async def _leave_behind(*, exit_code: int) -> None:
    """End what is left; for a handler that was given up and goes on, asyncio or Python would wait."""
    strays = asyncio.all_tasks() - {asyncio.current_task()}
    for task in strays:
        task.cancel()
    await _end_in_time(strays, exit_code=exit_code)
    # What they gave to asyncio.to_thread, then what they gave to threads and executors of their own.
    threads = asyncio.get_running_loop().shutdown_default_executor()
    await _end_in_time({asyncio.create_task(threads)}, exit_code=exit_code)
    watchdog = threading.Timer(EXIT_SECONDS, os._exit, (exit_code,))
    watchdog.daemon = True
    watchdog.start()


async def _end_in_time(tasks: set[asyncio.Task[Any]], *, exit_code: int) -> None:
    if tasks and (await asyncio.wait(tasks, timeout=STRAY_SECONDS))[1]:
        if exit_code:
            traceback.print_exc()
        os._exit(exit_code)


def _run_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    # What was imported stays. And a claim makes thousands of objects at once, which are gone with its ends:
    # by its default the collector looked for circles among them seven times, an eighth of a worker's time.
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


def _fail(message: str, *, code: int = 1) -> NoReturn:
    print(f"pgtick: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    try:
        main(prog_name="pgtick", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "pgtick"
        _fail(f"{error.format_message().rstrip('.')} (see `{path} --help`)", code=2)
    except click.Abort:  # Ctrl-C before anything began
        sys.exit(130)
