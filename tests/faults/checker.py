"""Says which promise a run has broken, by its history alone.

Nothing here asks the scheduler what should have happened: due instants come from arithmetic, the order of
calls from the processes that made them. A call whose answer never came may have happened or not, and is
allowed both.

Two clocks meet here, the server's and the processes'; the proof runs on one machine, so they are one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from tests.faults.history import Attempt, Execution, Fire, History, Job, Note

EXAMPLES = 5
ENDED = frozenset({"succeeded", "failed", "cancelled", "expired"})
EXCLUSIVE = frozenset({"skip", "queue_one", "cancel_running"})
RECOVERY = timedelta(seconds=1)
# A call reads the clock once, when it begins, and what it writes is seen when it commits: by so much two
# calls that followed each other may seem to overlap.
CALL = timedelta(milliseconds=500)
# A beat so young may not have been committed when the reaper looked.
COMMIT = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class Complaint:
    """A broken promise, and the evidence."""

    promise: str
    evidence: str


def check(history: History) -> list[Complaint]:
    """Returns every broken promise; none: the run kept all."""
    return [Complaint(promise, evidence) for promise, find in PROMISES.items() for evidence in find(history)]


def summarize(complaints: list[Complaint]) -> str:
    """Returns how often each promise was broken, with a few of the cases."""
    lines = []
    for promise, count in Counter(complaint.promise for complaint in complaints).items():
        lines.append(f"{promise}: {count}")
        cases = [complaint.evidence for complaint in complaints if complaint.promise == promise]
        lines += [f"    {case}" for case in cases[:EXAMPLES]]
    return "\n".join(lines)


def lost_fires(history: History) -> Iterator[str]:
    """Every due instant has a verdict."""
    decided = {(fire.job_id, fire.fire_at) for fire in history.fires}
    for job in history.jobs:
        for instant in job.instants():
            if (job.job_id, instant) not in decided:
                yield f"{job.name} at {instant}: no verdict"


def doubled_fires(history: History) -> Iterator[str]:
    """No instant has two verdicts, and nothing fires that was not due."""
    due = {(job.job_id, instant) for job in history.jobs for instant in job.instants()}
    for (job_id, fire_at), count in Counter((f.job_id, f.fire_at) for f in history.fires).items():
        if count > 1:
            yield f"job {job_id} at {fire_at}: {count} verdicts"
        if (job_id, fire_at) not in due:
            yield f"job {job_id} at {fire_at}: was not due"


def wrong_verdicts(history: History) -> Iterator[str]:
    """A fire that was skipped had a reason that its job's policies allow."""
    jobs = {job.job_id: job for job in history.jobs}
    executions = _by_job(history)
    for fire in history.fires:
        job = jobs.get(fire.job_id)
        if job is not None and not _is_allowed(fire, job, executions[fire.job_id], lease=history.lease):
            policies = f"{job.misfire}, {job.overlap}"
            yield f"{job.name} ({policies}) at {fire.fire_at}: {fire.verdict} {fire.decided_at}"


def _is_allowed(fire: Fire, job: Job, executions: list[Execution], *, lease: timedelta) -> bool:
    successor_was_due = fire.decided_at >= fire.fire_at + timedelta(seconds=job.step_seconds)
    match fire.verdict:
        case "fired":
            return True
        case "coalesced":
            return job.misfire == "fire_once" and successor_was_due
        case "skipped_misfire":
            return job.misfire == "skip" and successor_was_due
        case "skipped_overlap":
            # A SQL job ends when it says so, and is seen to have ended when it commits: within a lease.
            return job.overlap in {"skip", "queue_one"} and any(
                e.fire_at is not None
                and e.fire_at < fire.fire_at
                and (e.finished_at is None or e.finished_at >= fire.decided_at - lease)
                for e in executions
            )
    return False


def overlapping_fires(history: History) -> Iterator[str]:
    """Where a job allows one at a time, its attempts of different fires do not run at once."""
    exclusive = {job.job_id: job for job in history.jobs if job.overlap in EXCLUSIVE}
    job_of = {e.execution_id: e.job_id for e in history.executions}
    running: dict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        job_id = job_of.get(attempt.execution_id)
        if job_id is not None and job_id in exclusive:
            running[job_id].append(attempt)
    for job_id, attempts in running.items():
        attempts.sort(key=lambda a: a.started_at)
        for one, other in pairwise(attempts):
            if one.execution_id == other.execution_id:
                continue
            if one.finished_at is None or other.started_at < one.finished_at - CALL:
                yield f"{exclusive[job_id].name}: {_name(one)} until {one.finished_at}, {_name(other)}"


def stale_finishes(history: History) -> Iterator[str]:
    """An end is accepted of the worker that claimed the attempt, once, and not after the next was claimed."""
    claims: dict[UUID, list[Note]] = defaultdict(list)
    for note in history.notes:
        if note.op == "claim" and note.execution_id is not None:
            claims[note.execution_id].append(note)
    accepted: dict[tuple[UUID, int], list[Note]] = defaultdict(list)
    for note in history.notes:
        if note.op == "finish" and note.outcome == "ok" and note.execution_id is not None:
            accepted[note.execution_id, note.attempt].append(note)
    for (execution_id, attempt), ends in accepted.items():
        if len(ends) > 1:
            yield f"{execution_id} attempt {attempt}: accepted of {[end.process for end in ends]}"
        for end in ends:
            for claim in claims[execution_id]:
                if claim.attempt > attempt and claim.returned_at < end.called_at:
                    yield (
                        f"{execution_id} attempt {attempt}: accepted of {end.process} at {end.called_at}, "
                        f"after {claim.process} had claimed attempt {claim.attempt}"
                    )
                if claim.attempt == attempt and claim.worker_id != end.worker_id:
                    yield f"{execution_id} attempt {attempt}: {claim.process} claimed, {end.process} ended it"


def unkept_ends(history: History) -> Iterator[str]:
    """An end that was accepted is in the history, as it was told."""
    statuses = {(a.execution_id, a.attempt): a.status for a in history.attempts}
    for note in history.notes:
        if note.op == "finish" and note.outcome == "ok" and note.execution_id is not None:
            status = statuses.get((note.execution_id, note.attempt))
            if status != note.status:
                yield f"{note.execution_id} attempt {note.attempt}: told {note.status}, kept {status}"


def overlapping_leases(history: History) -> Iterator[str]:
    """An attempt is handed to one worker, and the next one only when it has ended."""
    claimed = Counter((n.execution_id, n.attempt) for n in history.notes if n.op == "claim")
    for (execution_id, number), count in claimed.items():
        if count > 1:
            yield f"{execution_id} attempt {number}: claimed {count} times"
    for attempts in _attempts(history).values():
        for one, other in pairwise(attempts):
            if one.finished_at is None or other.started_at < one.finished_at - CALL:
                yield f"{_name(one)} ended {one.finished_at}, {_name(other)}"


def never_ended(history: History) -> Iterator[str]:
    """Every execution ends, once."""
    for execution in history.executions:
        if execution.status not in ENDED:
            yield f"{execution.execution_id}: {execution.status}"
    for execution_id, count in Counter(e.execution_id for e in history.executions).items():
        if count > 1:
            yield f"{execution_id}: {count} ends"
    known = {e.execution_id for e in history.executions}
    for claimed in {n.execution_id for n in history.notes if n.op == "claim"} - known:
        yield f"{claimed}: claimed, and gone"


def unordered_attempts(history: History) -> Iterator[str]:
    """Attempt numbers increase with time, and the last attempt alone is the end."""
    for attempts in _attempts(history).values():
        for one, other in pairwise(attempts):
            if one.attempt == other.attempt:
                yield f"{_name(one)}: twice"
            if other.started_at < one.started_at - CALL:
                yield f"{_name(other)}: before {_name(one)}"
            if one.final:
                yield f"{_name(one)}: an end, and yet {_name(other)}"


def effects_not_once(history: History) -> Iterator[str]:
    """A SQL job's attempt that succeeded left its effect once; one that did not succeed left none."""
    effects = Counter((effect.execution_id, effect.attempt) for effect in history.effects)
    job_of = {e.execution_id: e.job_id for e in history.executions}
    expected = {
        (a.execution_id, a.attempt)
        for a in history.attempts
        if a.status == "succeeded" and job_of.get(a.execution_id) in history.effectful
    }
    for key in expected | effects.keys():
        if effects[key] != (key in expected):
            yield f"{key[0]} attempt {key[1]}: {effects[key]} effects, expected {int(key in expected)}"


def late_recoveries(history: History) -> Iterator[str]:
    """What a silent worker held starts again within its lease and a second, if there are free workers."""
    for lost, last_beat, following in recoveries(history):
        allowed = history.lease + RECOVERY
        back_at = following or lost.finished_at  # quarantined, or cancelled: not started again
        took = back_at - last_beat
        allowed += history.stalled(last_beat, back_at) + _queued(history, lost.finished_at, back_at)
        if took > allowed:
            taken = lost.finished_at - last_beat
            yield (
                f"{_name(lost)} of {lost.worker_id}: {took} after the last beat ({taken} until taken), "
                f"allowed {allowed}"
            )


def leases_broken_early(history: History) -> Iterator[str]:
    """Nothing is taken from a worker whose last beat is younger than its lease."""
    for lost, last_beat, _ in recoveries(history):
        silent = lost.finished_at - last_beat
        if silent < history.lease - CALL:
            yield f"{_name(lost)}: taken from {lost.worker_id} {silent} after its last beat"


def unexpected_errors(history: History) -> Iterator[str]:
    """No call fails but for a cut connection or a lease that is over."""
    for note in history.notes:
        if note.op == "error":
            yield f"{note.process} at {note.called_at}: {note.detail}"


@dataclass(frozen=True, slots=True)
class Lost:
    """An attempt that was taken from a worker."""

    execution_id: UUID
    attempt: int
    worker_id: UUID
    started_at: datetime
    finished_at: datetime


def recoveries(history: History) -> Iterator[tuple[Lost, datetime, datetime | None]]:
    """Yields what was taken from workers, the last beat before that, and the start of the next attempt."""
    beats: dict[UUID, list[datetime]] = defaultdict(list)
    for beat in history.beats:
        beats[beat.worker_id].append(beat.at)
    for attempts in _attempts(history).values():
        for position, attempt in enumerate(attempts):
            if attempt.error_type not in {"worker_lost", "quarantined"} or attempt.finished_at is None:
                continue
            last_beat = max(at for at in beats[attempt.worker_id] if at <= attempt.finished_at - COMMIT)
            following = attempts[position + 1].started_at if position + 1 < len(attempts) else None
            lost = Lost(
                attempt.execution_id,
                attempt.attempt,
                attempt.worker_id,
                attempt.started_at,
                attempt.finished_at,
            )
            yield lost, last_beat, following


PROMISES: dict[str, Callable[[History], Iterator[str]]] = {
    "lost fire": lost_fires,
    "doubled fire": doubled_fires,
    "wrong verdict": wrong_verdicts,
    "overlapping fires": overlapping_fires,
    "stale finish accepted": stale_finishes,
    "end not kept": unkept_ends,
    "overlapping leases": overlapping_leases,
    "execution never ended": never_ended,
    "attempts out of order": unordered_attempts,
    "effect not exactly once": effects_not_once,
    "late recovery": late_recoveries,
    "lease broken early": leases_broken_early,
    "unexpected error": unexpected_errors,
}


def _attempts(history: History) -> dict[UUID, list[Attempt]]:
    grouped: dict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        grouped[attempt.execution_id].append(attempt)
    for attempts in grouped.values():
        attempts.sort(key=lambda a: a.attempt)
    return grouped


def _queued(history: History, start: datetime, end: datetime) -> timedelta:
    """Returns how long others waited for their first start then: no worker was free for so long."""
    waits = (
        a.started_at - a.run_at for a in history.attempts if a.attempt == 1 and start <= a.started_at <= end
    )
    return max(waits, default=timedelta())


def _by_job(history: History) -> dict[UUID, list[Execution]]:
    grouped: dict[UUID, list[Execution]] = defaultdict(list)
    for execution in history.executions:
        if execution.job_id is not None:
            grouped[execution.job_id].append(execution)
    return grouped


def _name(attempt: Attempt | Lost) -> str:
    return f"{attempt.execution_id} attempt {attempt.attempt} from {attempt.started_at}"
