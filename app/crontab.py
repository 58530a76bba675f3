"""Crontabs taken over: each entry becomes a command job that fires when cron would have run it."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.crontab_fields import CronFieldError, split_command, translate_schedule
from app.crontab_lines import Crontab, Entry, Remark, read_crontab
from app.jobfile_spec import JobSpec, place_of, shortened
from app.jobfile_sync import Report, sync

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import psycopg

    from app.jobfile_problems import Problem
    from app.jobfile_yaml import Json

# What these say is for cron, not for the command, and not followed here.
_NOT_FOLLOWED = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "RANDOM_DELAY"})
_CRONS_OWN = _NOT_FOLLOWED | {"CRON_TZ"}
_DEFAULT_SHELLS = (None, "", "/bin/sh")

# Cron runs a command once, at its minute or not at all, however many are still running, and never stops one;
# 30 days is the longest timeout there is.
_POLICIES: dict[str, Json] = {
    "max_attempts": 1,
    "misfire": "skip",
    "overlap": "allow",
    "dst": "debian",
    "timeout": "30 days",
}


@dataclass(frozen=True, slots=True)
class CrontabReport:
    """What became of each line (jobs by line, remarks in the order of lines) and of the database.

    `zoned` tells whether each entry that was taken stands below a CRON_TZ.
    """

    system: bool
    zoned: bool
    taken: dict[int, str]
    remarks: tuple[Remark, ...]
    jobs: Report

    @property
    def complete(self) -> bool:
        """Whether every line was taken."""
        return not any(remark.refused for remark in self.remarks)


def import_crontab(
    conn: psycopg.Connection[Any],
    data: bytes,
    *,
    path: Path | None = None,
    system: bool | None = None,
    timezone: str = "UTC",
    queue_per_user: bool = False,
    dry_run: bool = False,
    prune: bool = False,
    user: str | None = None,
    host: str | None = None,
) -> CrontabReport:
    """Takes what can be taken, in one transaction, and tells of the rest.

    `path` null means standard input; `system` null, to find out whether there is a user column. With `prune`,
    jobs of an earlier import of this file whose lines are gone are deleted. `user` and `host` null mean those
    of this process.
    """
    crontab = read_crontab(data, path=path, system=system)
    if prune and (unread := [remark.line for remark in crontab.remarks if remark.refused]):
        # Such a line may be that of a job, mistyped since.
        crontab.note(min(unread), "nothing is pruned while there are lines that cannot be read")
        prune = False
    user = user or _this_user()
    origin = _origin(crontab, path, user=user, host=host or socket.gethostname())
    named = _named(origin, crontab.entries)
    specs = _specs(crontab, named, me=user, timezone=timezone, queue_per_user=queue_per_user)
    refused: set[str | None] = set()

    def refuse(problem: Problem) -> None:
        refused.add(problem.job)
        crontab.refuse(problem.line, problem.what, problem.hint)

    jobs = sync(
        conn,
        specs,
        file=str(path or "-"),
        mark=f"crontab:{origin}",
        dry_run=dry_run,
        prune=prune,
        # A line that is not taken this time (by another user, say) is still there: its job is no orphan.
        keep=named,
        keep_going=refuse,
    )
    taken = {spec.line: spec.name for spec in specs if spec.name not in refused}
    remarks = tuple(sorted(crontab.remarks, key=lambda remark: remark.line))
    zoned = all(named[name].variables.get("CRON_TZ") for name in taken.values())
    return CrontabReport(crontab.system, zoned, taken, remarks, jobs)


def _origin(crontab: Crontab, path: Path | None, *, user: str, host: str) -> str:
    """What tells the jobs of this crontab from those of others, which may well run the same commands.

    Every machine has an /etc/crontab, and every user of it a crontab. A system crontab names its users
    itself, so it is the same one whoever imports it.
    """
    whose = host if crontab.system else f"{crontab.owner or user}@{host}"
    # A user's file in cron's spool is what `crontab -l` shows: the same crontab.
    place = place_of(path) if path is not None and crontab.owner is None else None
    # It is to fit into a tag, which has at most 100 letters, "crontab:" among them.
    return shortened(f"{whose}:{place}" if place else whose, 90)


def _named(origin: str, entries: Sequence[Entry]) -> dict[str, Entry]:
    named: dict[str, Entry] = {}
    for entry in entries:
        occurrence = 0
        while (name := _name(origin, entry, occurrence)) in named:
            occurrence += 1
        named[name] = entry
    return named


def _specs(
    crontab: Crontab, named: Mapping[str, Entry], *, me: str, timezone: str, queue_per_user: bool
) -> list[JobSpec]:
    specs = []
    for name, entry in named.items():
        user = entry.user or crontab.owner or me
        if user != me and not queue_per_user:
            crontab.refuse(
                entry.line,
                f"runs as {user}, and a worker started by {me} does not change users",
                f"--queue-per-user gives it the queue user-{user}, for a worker run by {user}",
            )
            continue
        if lacking := entry.lacking.keys() - _NOT_FOLLOWED:
            line = min(entry.lacking[name] for name in lacking)
            crontab.refuse(entry.line, f"depends on the variable of line {line}, which was not taken")
            continue
        try:
            arguments = _arguments(entry, user=user, timezone=timezone)
        except CronFieldError as error:
            crontab.refuse(entry.line, error.what, error.hint)
            continue
        if queue_per_user:
            arguments["queue"] = f"user-{user}"
        specs.append(JobSpec(name=name, line=entry.line, arguments=arguments))
    return specs


def _arguments(entry: Entry, *, user: str, timezone: str) -> dict[str, Json]:
    command, stdin = split_command(entry.command)
    shell = entry.variables.get("SHELL")
    target: dict[str, Json] = {"shell": command}
    if shell not in _DEFAULT_SHELLS:
        target = {"args": [shell, "-c", command]}
    if stdin is not None:
        target["stdin"] = stdin
    if env := {name: value for name, value in entry.variables.items() if name not in _CRONS_OWN}:
        target["env"] = dict(env)
    if home := entry.variables.get("HOME") or _home(user):
        target["cwd"] = home
    return {
        "job_type": "command",
        "target": target,
        "schedule": translate_schedule(entry.schedule),
        "timezone": entry.variables.get("CRON_TZ") or timezone,
        **_POLICIES,
    }


def _this_user() -> str:
    """The name of who runs this; its number where it has none, as in many containers."""
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _home(user: str) -> str | None:
    """Where cron runs the user's commands; null where the machine does not know the user."""
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return None


def _name(origin: str, entry: Entry, occurrence: int) -> str:
    """A name that stays the same while crontab, user and command do; the same command again gets another."""
    identity = "\0".join((origin, entry.user or "", entry.command, str(occurrence)))
    words = "-".join(re.findall(r"[A-Za-z0-9]+", entry.command))[:40].strip("-")
    return f"{origin}:{words or 'command'}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
