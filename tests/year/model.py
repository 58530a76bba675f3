"""What a year of schedules must come to, written from the rules and not from the SQL.

Every job keeps a plain list of what it owes: each due instant in order with its verdict, and each execution
with its state. Nothing is found at two ends or by index: all that is due is looked at, one by one. The
instants themselves are those of tests/cron/oracle.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from tests.cron import oracle, wall_clock

ON_TIME = timedelta(minutes=1)  # how late a fire may be under misfire = skip, where the job says nothing else
MICROSECOND = timedelta(microseconds=1)
State = Literal["held", "waiting", "running", "succeeded", "cancelled", "expired"]
ALIVE: tuple[State, ...] = ("held", "waiting", "running")


@dataclass(frozen=True)
class Policy:
    """The rules of a job."""

    misfire: str = "fire_once"
    misfire_window: timedelta | None = None
    misfire_cap: int | None = None
    overlap: str = "skip"
    jitter: timedelta = timedelta(0)
    expires_after: timedelta | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None

    def expiry(self, run_at: datetime) -> datetime | None:
        """Returns until when what is to run at a time may start."""
        return None if self.expires_after is None else run_at + self.expires_after


@dataclass(frozen=True)
class Schedule:
    """When a job runs: text for pgtick, and the same for the oracle."""

    text: str
    zone: str
    dst: str = "debian"
    step: timedelta | None = None  # `every` with elapsed time
    calendar: oracle.Steps | None = None  # `every` with calendar steps

    def following(self, after: datetime, key: str) -> datetime | None:
        """Returns the first instant after another."""
        if self.step is not None:
            return oracle.next_elapsed(self.step, datetime(1970, 1, 1, tzinfo=UTC), after)
        if self.calendar is not None:
            return oracle.next_instant(self.calendar, self.zone, after, self.dst, earliest=self._anchor())
        return oracle.next_instant(self._cron(key), self.zone, after, self.dst)

    def _cron(self, key: str) -> oracle.Cron:
        known = CRONS.get((self.text, key))
        if known is None:
            known = CRONS[self.text, key] = oracle.Cron(self.text, key)
        return known

    def _anchor(self) -> datetime:
        assert self.calendar is not None
        local = self.calendar.anchor
        # The anchors of the plan lie far from any change of the clocks.
        return (local - wall_clock.utc_offset(self.zone, local)).replace(tzinfo=UTC)


CRONS: dict[tuple[str, str], oracle.Cron] = {}


@dataclass
class Execution:
    """One fire that was made an execution."""

    fire_at: datetime
    run_at: datetime
    latest: datetime  # a jittered start must come before this
    expires_at: datetime | None
    state: State = "waiting"
    is_exclusive: bool = False
    attempts: int = 0
    is_cancelled: bool = False

    def has_expired(self, now: datetime) -> bool:
        """Says whether nobody started it in time."""
        is_new = self.attempts == 0 and self.state in ("held", "waiting")
        return is_new and self.expires_at is not None and self.expires_at <= now


@dataclass
class Job:
    """One job and its ledger."""

    name: str
    schedule: Schedule
    policy: Policy
    decided_upto: datetime
    is_paused: bool = False
    is_deleted: bool = False
    ledger: dict[datetime, str] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    backfills: list[Execution] = field(default_factory=list)
    _next: tuple[datetime, datetime | None] | None = None

    def next_due(self) -> datetime | None:
        """Returns the first instant without a verdict."""
        if self.is_deleted:
            return None
        after = self.decided_upto
        if self.policy.starts_at is not None:
            after = max(after, self.policy.starts_at - MICROSECOND)
        if self._next is None or self._next[0] != after:
            self._next = (after, self.schedule.following(after, self.name))
        instant = self._next[1]
        is_over = instant is not None and self.policy.ends_at is not None and instant > self.policy.ends_at
        return None if is_over else instant

    def _take_due(self, now: datetime) -> list[datetime]:
        due = []
        while (instant := self.next_due()) is not None and instant <= now:
            due.append(instant)
            self.decided_upto = instant
        return due

    def decide(self, now: datetime) -> list[Execution]:
        """Gives all that is due its verdict, as a tick at that time must; returns the new executions."""
        due = self._take_due(now)
        if self.is_paused:
            self._note(due, "skipped_paused")
            return []
        policy = self.policy
        if policy.misfire == "skip":
            newest = due[-1:]
            is_late = bool(newest) and now - newest[0] > (policy.misfire_window or ON_TIME)
            missed, due = (due, []) if is_late else (due[:-1], newest)
            self._note(missed, "skipped_misfire")
        else:
            if policy.misfire_window is not None:
                self._note([i for i in due if now - i > policy.misfire_window], "skipped_window")
                due = [i for i in due if now - i <= policy.misfire_window]
            if policy.misfire == "fire_once":
                self._note(due[:-1], "coalesced")
                due = due[-1:]
            elif policy.misfire_cap is not None:
                self._note(due[: -policy.misfire_cap], "skipped_misfire")
                due = due[-policy.misfire_cap :]
        return [execution for instant in due if (execution := self._fire(instant, now)) is not None]

    def _note(self, instants: list[datetime], verdict: str) -> None:
        for instant in instants:
            assert instant not in self.ledger
            self.ledger[instant] = verdict

    def _fire(self, instant: datetime, now: datetime) -> Execution | None:
        alive = [execution for execution in self.executions if execution.state in ALIVE]
        overlap = self.policy.overlap
        state: State = "waiting"
        if alive and overlap != "allow":
            if overlap == "skip" or (overlap == "queue_one" and any(e.state == "held" for e in alive)):
                self._note([instant], "skipped_overlap")
                return None
            if overlap == "cancel_running":
                for execution in alive:
                    execution.is_cancelled = True
                    if execution.state != "running":
                        execution.state = "cancelled"
                alive = [execution for execution in alive if execution.state == "running"]
            state = "held" if alive else "waiting"
        self._note([instant], "fired")
        latest = instant
        if self.policy.jitter:
            following = self.schedule.following(instant, self.name)
            latest += (
                self.policy.jitter if following is None else min(self.policy.jitter, following - instant)
            )
        execution = Execution(
            fire_at=instant,
            run_at=now,
            latest=latest,
            expires_at=self.policy.expiry(now),
            state=state,
            is_exclusive=overlap in ("queue_one", "cancel_running"),
        )
        self.executions.append(execution)
        return execution

    def let_go(self, now: datetime) -> None:
        """Lets the held execution go, if nothing is in its way any more."""
        if any(execution.state in ("waiting", "running") for execution in self.executions):
            return
        for execution in self.executions:
            if execution.state == "held":
                execution.state, execution.run_at = "waiting", now

    def end(self, ends: list[tuple[Execution, State]], now: datetime) -> None:
        """Ends executions, all at once."""
        for execution, state in ends:
            execution.state = state
        if any(execution.is_exclusive for execution, _ in ends):
            self.let_go(now)

    def expire(self, now: datetime) -> None:
        """Ends what nobody started in time."""
        every = (*self.executions, *self.backfills)
        self.end([(execution, "expired") for execution in every if execution.has_expired(now)], now)

    def ready(self, now: datetime) -> list[Execution]:
        """Returns what a worker may start."""
        every = (*self.executions, *self.backfills)
        return [execution for execution in every if execution.state == "waiting" and execution.run_at <= now]

    def change(
        self, now: datetime, *, schedule: Schedule | None = None, policy: Policy | None = None
    ) -> None:
        """Gives the job other rules from now on."""
        self.decide(now)
        if schedule is not None:
            self.schedule, self.decided_upto, self._next = schedule, now, None
        if policy is not None:
            self.policy = policy

    def backfill(self, first: datetime, last: datetime, now: datetime) -> int:
        """Runs all instants between two times that have no execution; returns how many."""
        self.decide(now)
        count = 0
        first = max(first, self.policy.starts_at or first)
        last = min(last, self.policy.ends_at or last)
        instant = self.schedule.following(first - MICROSECOND, self.name)
        while instant is not None and instant <= last:
            if self.ledger.get(instant) != "fired":
                self.ledger[instant] = "fired"
                expires_at = self.policy.expiry(now)
                self.backfills.append(Execution(instant, now, instant, expires_at))
                count += 1
            instant = self.schedule.following(instant, self.name)
        return count
