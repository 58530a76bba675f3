"""The worker that `pgtick up` runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from app.cluster import Cluster
from app.settings import is_given, load_settings
from app.supervisor import Child

SAMPLE_HANDLERS = "examples.handlers"
LAST_PORT = 65_535


def worker_child(
    cluster: Cluster | None, environ: Mapping[str, str], log: Path, say: Callable[[str], None]
) -> Child:
    """Returns the process, not started yet. What is no number in its settings, it refuses by itself."""
    arguments = ["workers", "worker"]
    if cluster is not None and not is_given(environ, "PGTICK_ALLOW_COMMAND"):
        arguments += ["--allow-command"]  # for the sample's; in a database of somebody's it is his to say
    if not is_given(environ, "PGTICK_HANDLERS"):
        arguments += ["--handlers", SAMPLE_HANDLERS]
    own, settings = dict(environ), load_settings(environ)
    port = settings.metrics_port
    if port is not None and port.isdecimal() and 0 < int(port) < LAST_PORT:
        own["PGTICK_METRICS_PORT"] = str(int(port) + 1)  # the ticker listens on the one that is set
        say(f"metrics    of the ticker at port {port}, of the worker at port {own['PGTICK_METRICS_PORT']}")
    child = Child("worker", arguments, own, log, say)
    with suppress(ValueError):
        child.grace_seconds = float(settings.grace_seconds)
    return child
