"""Each promise, broken by hand in a history that is otherwise whole: the checker names it, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from tests.faults.checker import PROMISES, check
from tests.faults.history import Attempt, Beat, Effect, Execution, Fire, History, Job, Note, Stall

START = datetime(2026, 1, 1, tzinfo=UTC)
WORKERS = (uuid4(), uuid4())


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def whole() -> History:
    """Returns a history of three fires; the first is lost by its worker at 5 and started again at 6."""
    history = History(lease=timedelta(seconds=2))
    job = Job(uuid4(), "job", 10, at(0), at(25), misfire="fire_all", overlap="allow")
    history.jobs = [job]
    history.effectful = frozenset({job.job_id})
    for second in (0, 10, 20):
        execution_id = uuid4()
        history.fires.append(Fire(job.job_id, at(second), "fired", execution_id, at(second)))
        history.executions.append(
            Execution(execution_id, job.job_id, "succeeded", at(second), at(second), at(second + 7))
        )
        history.attempts += [
            Attempt(
                execution_id,
                1,
                "failed",
                False,
                at(second),
                at(second + 2),
                at(second + 5),
                WORKERS[0],
                "worker_lost",
            ),
            Attempt(
                execution_id,
                2,
                "succeeded",
                True,
                at(second),
                at(second + 5.5),
                at(second + 7),
                WORKERS[1],
                None,
            ),
        ]
        history.effects.append(Effect(execution_id, 2))
        history.beats += [
            Beat(WORKERS[0], at(second + 1)),
            Beat(WORKERS[0], at(second + 2.7)),
            Beat(WORKERS[1], at(second + 5)),
        ]
        history.notes += [
            claim(execution_id, 1, second + 2),
            claim(execution_id, 2, second + 5.5),
            finish(execution_id, 2, second + 7, "ok"),
            finish(execution_id, 1, second + 8, "refused"),
        ]
    return history


def claim(execution_id: UUID, attempt: int, seconds: float) -> Note:
    return note(execution_id, attempt, seconds, op="claim", outcome="ok")


def finish(execution_id: UUID, attempt: int, seconds: float, outcome: str) -> Note:
    return note(execution_id, attempt, seconds, op="finish", outcome=outcome, status="succeeded")


def note(execution_id: UUID, attempt: int, seconds: float, **facts: str) -> Note:
    values = facts | {"execution_id": execution_id, "attempt": attempt, "worker_id": WORKERS[attempt - 1]}
    times = {"called_at": at(seconds), "returned_at": at(seconds + 0.1)}
    return msgspec.convert(values | times | {"process": f"worker-{attempt}"}, Note)


def forget_a_fire(history: History) -> None:
    del history.fires[1]


def fire_twice(history: History) -> None:
    history.fires.append(history.fires[1])


def fire_what_is_not_due(history: History) -> None:
    history.fires.append(replace(history.fires[1], fire_at=at(11)))


def skip_what_must_fire(history: History) -> None:
    history.fires[1] = replace(history.fires[1], verdict="coalesced", execution_id=None)


def let_fires_overlap(history: History) -> None:
    history.jobs = [replace(history.jobs[0], overlap="skip")]
    late = history.attempts[1]
    history.attempts[1] = replace(late, finished_at=at(13))


def accept_a_stale_end(history: History) -> None:
    stale = history.notes[3]
    history.notes[3] = msgspec.structs.replace(stale, outcome="ok", status="failed")


def accept_an_end_twice(history: History) -> None:
    history.notes.append(history.notes[2])


def accept_an_end_of_another(history: History) -> None:
    history.notes[2] = msgspec.structs.replace(history.notes[2], worker_id=WORKERS[0])


def forget_an_end(history: History) -> None:
    history.notes[2] = msgspec.structs.replace(history.notes[2], status="cancelled")


def claim_one_attempt_twice(history: History) -> None:
    history.notes.append(claim(history.executions[0].execution_id, 2, 5.6))


def start_the_next_before_the_end(history: History) -> None:
    history.attempts[0] = replace(history.attempts[0], finished_at=at(6.5), error_type=None)


def leave_one_running(history: History) -> None:
    history.executions[0] = replace(history.executions[0], status="running", finished_at=None)


def lose_an_execution(history: History) -> None:
    history.notes.append(claim(uuid4(), 1, 3))


def go_on_after_the_end(history: History) -> None:
    history.attempts[0] = replace(history.attempts[0], final=True)


def double_an_effect(history: History) -> None:
    history.effects.append(history.effects[0])


def lose_an_effect(history: History) -> None:
    del history.effects[0]


def keep_the_effect_of_a_failure(history: History) -> None:
    history.effects.append(Effect(history.executions[0].execution_id, 1))


def recover_late(history: History) -> None:
    history.attempts[1] = replace(history.attempts[1], started_at=at(5.8))


def take_from_the_living(history: History) -> None:
    history.beats.append(Beat(WORKERS[0], at(4)))


def fail_a_call(history: History) -> None:
    history.notes.append(
        Note(process="worker-1", op="error", outcome="unknown", called_at=at(1), returned_at=at(2))
    )


BREAKAGES: dict[Callable[[History], None], str] = {
    forget_a_fire: "lost fire",
    fire_twice: "doubled fire",
    fire_what_is_not_due: "doubled fire",
    skip_what_must_fire: "wrong verdict",
    let_fires_overlap: "overlapping fires",
    accept_a_stale_end: "stale finish accepted",
    accept_an_end_twice: "stale finish accepted",
    accept_an_end_of_another: "stale finish accepted",
    forget_an_end: "end not kept",
    claim_one_attempt_twice: "overlapping leases",
    start_the_next_before_the_end: "overlapping leases",
    leave_one_running: "execution never ended",
    lose_an_execution: "execution never ended",
    go_on_after_the_end: "attempts out of order",
    double_an_effect: "effect not exactly once",
    lose_an_effect: "effect not exactly once",
    keep_the_effect_of_a_failure: "effect not exactly once",
    recover_late: "late recovery",
    take_from_the_living: "lease broken early",
    fail_a_call: "unexpected error",
}


def test_whole_history_breaks_nothing() -> None:
    assert check(whole()) == []


@pytest.mark.parametrize(("breakage", "promise"), BREAKAGES.items(), ids=lambda v: getattr(v, "__name__", ""))
def test_broken_promise_is_named(breakage: Callable[[History], None], promise: str) -> None:
    history = whole()
    breakage(history)
    assert {complaint.promise for complaint in check(history)} == {promise}


def test_unknown_answer_may_have_been_either() -> None:
    history = whole()
    history.notes[2] = msgspec.structs.replace(history.notes[2], outcome="unknown")
    history.notes[3] = msgspec.structs.replace(history.notes[3], outcome="unknown")
    assert check(history) == []


def test_late_recovery_is_excused_by_a_stall() -> None:
    history = whole()
    recover_late(history)
    history.stalls = [Stall(at(4), at(5))]
    assert check(history) == []


def test_late_recovery_is_excused_by_a_queue() -> None:
    history = whole()
    recover_late(history)
    other = uuid4()
    history.attempts.append(Attempt(other, 1, "running", False, at(5), at(5.7), None, WORKERS[1], None))
    assert check(history) == []


def test_every_promise_is_broken_once() -> None:
    assert set(BREAKAGES.values()) == set(PROMISES)
