"""Two sessions at the same rows, step by step: who comes second waits or passes, and there is one end."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count, islice
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.conftest import Connect
from tests.faults.bugs import rewrite
from tests.faults.sessions import Db, meeting, rows, value, wait_until, waiting
from tests.support.clock import Clock

pytestmark = pytest.mark.direct

START = datetime(2030, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)
CREATE_JOB = """
    select scheduler.create_job(name => %s, job_type => 'python', target => '"anything"',
        schedule => '* * * * * *', overlap => %s, misfire => 'fire_all')
"""
TICK = "select fired from scheduler.tick_shard(%s)"
CLAIM = "select execution_id, attempt from scheduler.claim(%s)"
FINISH = """
    select execution_id from scheduler.finish(%s, array[%s::uuid], array[%s::integer], array[%s])
"""
CANCEL = "select scheduler.cancel_execution(%s)"
REQUESTS = "select count(*) from scheduler_internal.cancel_requests"
STOP = """
    select reason
    from scheduler.heartbeat(%s, execution_ids => array[%s::uuid], attempts => array[%s::integer])
"""
VERDICTS = "select verdict from scheduler.fires where job_id = %s order by fire_at"
ENDS = "select attempt, status, final from scheduler.attempts where execution_id = %s order by attempt"


@dataclass
class Stage:
    """Two sessions, a third that looks on, and the clock of each."""

    a: Db
    b: Db
    watcher: Db
    clock: Clock

    def at(self, seconds: float, *conns: Db) -> None:
        """Sets the clock of some sessions, of all without a name, to a time after the start."""
        for conn in conns or (self.a, self.b, self.watcher):
            self.clock.set(START + timedelta(seconds=seconds), conn=conn)

    def create_job(self, *, name: str = "job", overlap: str = "allow") -> tuple[UUID, int]:
        """Makes a job that is due every second, and returns its id and shard."""
        job_id = value(self.watcher, CREATE_JOB, name, overlap)
        return job_id, value(self.watcher, "select scheduler.get_shard_id(%s)", job_id)

    def register(self, *, lease: str = "10 seconds") -> UUID:
        """Makes a worker with a lease."""
        worker_id = uuid4()
        self.watcher.execute("select from scheduler.heartbeat(%s, lease => %s::interval)", [worker_id, lease])
        return worker_id

    def enqueue(self) -> UUID:
        """Makes an execution."""
        found: UUID = value(self.watcher, "select scheduler.enqueue('python', '\"anything\"')")
        return found


@pytest.fixture
def stage(clock: Clock, db: Db, connect: Connect) -> Stage:
    clock.set(START, everywhere=True)
    db.execute("select scheduler.maintain()")  # partitions for the days that the test plays in
    name = value(db, "select current_database()")
    db.execute(f'alter database "{name}" set scheduler.tick_lock = off')
    return Stage(connect(), connect(), connect(), clock)


def tick(conn: Db, shard: int) -> Any:
    return value(conn, TICK, shard)


def finish(conn: Db, worker_id: UUID, execution_id: UUID, attempt: int, status: str = "succeeded") -> bool:
    """Returns whether the end was accepted."""
    return rows(conn, FINISH, worker_id, execution_id, attempt, status) == []


class TestTicks:
    def test_second_ticker_passes_over_what_the_first_holds(self, stage: Stage) -> None:
        job_id, shard = stage.create_job()
        stage.at(1)
        with stage.a.transaction():
            assert tick(stage.a, shard) == 1
            assert tick(stage.b, shard) == 0
        assert tick(stage.b, shard) == 0
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)]

    def test_ticker_that_fails_leaves_its_fires_to_others(self, stage: Stage) -> None:
        job_id, shard = stage.create_job()
        stage.at(1)
        with stage.a.transaction(force_rollback=True):
            assert tick(stage.a, shard) == 1
        assert tick(stage.b, shard) == 1
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)]

    def test_overlap_holds_for_a_ticker_that_read_before_the_other_committed(self, stage: Stage) -> None:
        """B has read the schedule, and that nothing is alive; then A fires; then B comes to lock the row."""
        job_id, shard = stage.create_job(overlap="skip")
        stage.watcher.execute("""
            create function public.stop_here() returns boolean language plpgsql as $$
            begin
                if current_setting('test.stop_here', true) = 'on' then
                    perform set_config('lock_timeout', '0', true);  -- the tick's own, of 50 ms
                    perform pg_advisory_xact_lock_shared(42);
                end if;
                return true;
            end $$
        """)
        # As the schedule is read, which is before it is locked.
        due = "s.next_fire_at <= until"
        rewrite(stage.watcher, "scheduler_internal.fire_punctual", due, f"{due} and public.stop_here()")
        stage.at(1, stage.a)
        stage.at(2, stage.b, stage.watcher)
        stage.b.execute("set test.stop_here = 'on'")
        stage.watcher.execute("select pg_advisory_lock(42)")
        with waiting(stage.watcher, stage.b, lambda conn: tick(conn, shard)) as ticked:
            assert tick(stage.a, shard) == 1
            stage.watcher.execute("select pg_advisory_unlock(42)")
            assert ticked.result() == 0
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",), ("skipped_overlap",)]

    def test_clock_that_steps_back_fires_nothing_twice(self, stage: Stage) -> None:
        job_id, shard = stage.create_job()
        stage.at(30)
        assert tick(stage.a, shard) == 30
        stage.at(5)
        assert tick(stage.a, shard) == 0
        stage.at(31)
        assert tick(stage.b, shard) == 1
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)] * 31


class TestEnds:
    def claimed(self, stage: Stage) -> tuple[UUID, UUID]:
        worker_id = stage.register()
        execution_id = stage.enqueue()
        assert rows(stage.watcher, CLAIM, worker_id) == [(execution_id, 1)]
        return worker_id, execution_id

    def test_finish_before_cancel(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)

        with stage.a.transaction():
            assert finish(stage.a, worker_id, execution_id, 1)
            assert value(stage.b, CANCEL, execution_id) is True  # it has not ended yet
        assert value(stage.b, CANCEL, execution_id) is False
        assert rows(stage.watcher, ENDS, execution_id) == [(1, "succeeded", True)]
        assert value(stage.b, REQUESTS) == 1
        assert value(stage.b, "select scheduler.reap()") == 0
        assert value(stage.b, REQUESTS) == 0

    def test_cancel_before_finish(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)
        with stage.a.transaction():
            assert value(stage.a, CANCEL, execution_id)
            assert value(stage.b, CANCEL, execution_id)
        assert value(stage.watcher, REQUESTS) == 2
        assert finish(stage.b, worker_id, execution_id, 1, "failed")
        # Asked to stop, it failed: that is not tried again.
        assert rows(stage.watcher, ENDS, execution_id) == [(1, "failed", True)]
        assert value(stage.watcher, REQUESTS) == 0

    @pytest.mark.parametrize("claimed_again", [False, True])
    def test_cancel_that_commits_after_a_failure(self, stage: Stage, claimed_again: bool) -> None:
        """The next attempt does not start; one that has started is stopped."""
        worker_id, execution_id = self.claimed(stage)
        with stage.a.transaction():
            assert value(stage.a, CANCEL, execution_id)
            assert finish(stage.b, worker_id, execution_id, 1, "failed")
            stage.at(9)
            assert rows(stage.b, STOP, worker_id, execution_id, 1) == [("lost",)]
            stage.at(18)
            if claimed_again:
                assert rows(stage.b, CLAIM, worker_id) == [(execution_id, 2)]
        assert value(stage.b, "select scheduler.reap()") == 0
        if claimed_again:
            assert rows(stage.b, STOP, worker_id, execution_id, 2) == [("cancelled",)]
            assert finish(stage.b, worker_id, execution_id, 2, "cancelled")
        assert rows(stage.b, CLAIM, worker_id) == []
        status = "select status from scheduler.get_execution(%s)"
        assert value(stage.watcher, status, execution_id) == "cancelled"
        assert value(stage.watcher, REQUESTS) == 0

    def test_cancel_finds_what_moves_before_each_look(self, stage: Stage) -> None:
        """A worker gives it back and takes it again, so that it never lies where the cancel looks next."""
        looks = ("perform from scheduler_internal.running", "if v_waiting.fire_at > v_now")
        stop_before(stage.watcher, "scheduler.cancel_execution", *looks)
        worker_id = stage.register()
        execution_id = stage.enqueue()

        def stands_at(stop: int) -> bool:
            stands = "select exists (select from pg_locks where classid = 42 and objid = %s and not granted)"
            return bool(value(stage.watcher, stands, stop))

        stage.watcher.execute("select pg_advisory_lock(42, n) from generate_series(2, 4) n")
        with waiting(stage.watcher, stage.a, lambda conn: value(conn, CANCEL, execution_id)) as cancelled:
            for stop in (2, 3, 4):
                wait_until(partial(stands_at, stop))
                if stop == 3:
                    release = "select scheduler.release(%s, array[%s::uuid], '{1}')"
                    assert value(stage.b, release, worker_id, execution_id) == 1
                else:
                    assert rows(stage.b, CLAIM, worker_id) == [(execution_id, stop // 2)]
                stage.watcher.execute("select pg_advisory_unlock(42, %s)", [stop])
            assert cancelled.result() is True
        assert rows(stage.b, STOP, worker_id, execution_id, 2) == [("cancelled",)]

    def test_late_cancel_does_not_meet_a_retry_by_hand(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)
        with stage.a.transaction():
            assert value(stage.a, CANCEL, execution_id)
            assert finish(stage.b, worker_id, execution_id, 1)
        assert value(stage.b, "select scheduler.retry_execution(%s)", execution_id)
        assert value(stage.b, "select scheduler.reap()") == 0
        assert rows(stage.b, CLAIM, worker_id) == [(execution_id, 2)]
        assert rows(stage.b, STOP, worker_id, execution_id, 2) == []

    def test_reap_before_finish(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)
        stage.at(11)
        stage.a.execute("begin")
        assert value(stage.a, "select scheduler.reap()") == 1
        with waiting(
            stage.watcher, stage.b, lambda conn: finish(conn, worker_id, execution_id, 1)
        ) as finished:
            stage.a.execute("commit")
            assert not finished.result()
        assert rows(stage.watcher, ENDS, execution_id) == [(1, "failed", False)]

    def test_finish_before_reap(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)
        stage.at(11)
        with stage.a.transaction():
            assert finish(stage.a, worker_id, execution_id, 1)
            assert value(stage.b, "select scheduler.reap()") == 0
        assert value(stage.b, "select scheduler.reap()") == 0
        assert rows(stage.watcher, ENDS, execution_id) == [(1, "succeeded", True)]

    def test_reap_does_not_wait_for_a_finish_in_its_shard(self, stage: Stage) -> None:
        """Both count what ended in the same minute, shard and queue."""
        _, shard = stage.create_job()
        silent, alive = stage.register(), stage.register(lease="1 hour")
        for seconds, worker_id in enumerate((silent, alive), start=1):
            stage.at(seconds)
            assert tick(stage.watcher, shard) == 1
            [(execution_id, _)] = rows(stage.watcher, CLAIM, worker_id)
        stage.at(11)
        with stage.a.transaction():
            assert finish(stage.a, alive, execution_id, 1)
            assert value(stage.b, "select scheduler.reap()") == 1

    def test_failure_needs_no_error_document(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)
        assert finish(stage.a, worker_id, execution_id, 1, "failed")
        assert rows(stage.watcher, ENDS, execution_id) == [(1, "failed", False)]

    def test_retry_of_what_ends_just_then_is_no_retry_of_nothing(self, stage: Stage) -> None:
        looks = ("if exists (select from scheduler_internal.waiting", "select h.* into v_end")
        stop_before(stage.watcher, "scheduler.retry_execution", *looks)
        worker_id, execution_id = self.claimed(stage)

        def retry(conn: Db) -> Any:
            return value(conn, "select scheduler.retry_execution(%s)", execution_id)

        stage.watcher.execute("select pg_advisory_lock(42, 2)")  # after the first look
        with meeting(stage.watcher, stage.a, retry) as retried:
            assert finish(stage.b, worker_id, execution_id, 1)
            stage.watcher.execute("select pg_advisory_unlock(42, 2)")
            assert retried.result() is False  # it ran

    def test_two_retries_make_one(self, stage: Stage) -> None:
        worker_id, execution_id = self.claimed(stage)
        assert finish(stage.watcher, worker_id, execution_id, 1)

        def retry(conn: Db) -> Any:
            return value(conn, "select scheduler.retry_execution(%s)", execution_id)

        stage.a.execute("begin")
        assert retry(stage.a)
        with waiting(stage.watcher, stage.b, retry) as retried:
            stage.a.execute("commit")
            assert retried.result() is False
        assert rows(stage.watcher, CLAIM, worker_id) == [(execution_id, 2)]


class TestClaims:
    def test_second_claim_passes_over_what_the_first_holds(self, stage: Stage) -> None:
        first, second = stage.register(), stage.register()
        execution_id = stage.enqueue()
        stage.a.execute("begin")
        assert rows(stage.a, CLAIM, first) == [(execution_id, 1)]
        assert rows(stage.b, CLAIM, second) == []
        stage.a.execute("rollback")
        assert rows(stage.b, CLAIM, second) == [(execution_id, 1)]

    def test_claim_whose_answer_was_lost_is_given_back(self, stage: Stage) -> None:
        """The worker lives, and knows nothing of what it holds: no lease would ever end that."""
        worker_id = stage.register()
        lost, kept = stage.enqueue(), stage.enqueue()
        rows(stage.a, "select * from scheduler.claim(%s, 2)", worker_id)

        def beat() -> None:
            rows(
                stage.a,
                "select * from scheduler.heartbeat(%s, execution_ids => array[%s::uuid], attempts => '{1}')",
                worker_id,
                kept,
            )

        held = "select execution_id from scheduler.executions where status = 'running'"
        for seconds in (5, 9):
            stage.at(seconds)
            beat()
        assert set(rows(stage.watcher, held)) == {(lost,), (kept,)}  # the answer may be on its way
        stage.at(11)
        beat()
        assert rows(stage.watcher, held) == [(kept,)]
        assert rows(stage.b, CLAIM, worker_id) == [(lost, 2)]

    def test_beat_that_names_nothing_gives_nothing_back(self, stage: Stage) -> None:
        worker_id = stage.register()
        execution_id = stage.enqueue()
        rows(stage.a, CLAIM, worker_id)
        for seconds in (8, 16):
            stage.at(seconds)
            rows(stage.a, "select * from scheduler.heartbeat(%s)", worker_id)
        assert finish(stage.a, worker_id, execution_id, 1)


class TestDedupKeys:
    ENQUEUE = "select scheduler.enqueue('python', '\"anything\"', dedup_key => 'key')"

    def test_second_gets_the_first_ones_execution(self, stage: Stage) -> None:
        stage.a.execute("begin")
        first = value(stage.a, self.ENQUEUE)
        with waiting(stage.watcher, stage.b, lambda conn: value(conn, self.ENQUEUE)) as second:
            stage.a.execute("commit")
            assert second.result() == first
        assert rows(stage.watcher, "select execution_id from scheduler.executions") == [(first,)]

    def test_second_gets_its_own_when_the_first_fails(self, stage: Stage) -> None:
        stage.a.execute("begin")
        first = value(stage.a, self.ENQUEUE)
        with waiting(stage.watcher, stage.b, lambda conn: value(conn, self.ENQUEUE)) as second:
            stage.a.execute("rollback")
            execution_id = second.result()
        assert execution_id != first
        assert rows(stage.watcher, "select execution_id from scheduler.executions") == [(execution_id,)]


class TestQueueOne:
    HELD = "select count(*) from scheduler.executions where run_at is null"

    def running(self, stage: Stage) -> tuple[UUID, int, UUID, UUID]:
        """Returns the job, its shard, a worker, and what it runs of the job."""
        job_id, shard = stage.create_job(overlap="queue_one")
        worker_id = stage.register()
        stage.at(1)
        assert tick(stage.watcher, shard) == 1
        [(execution_id, _)] = rows(stage.watcher, CLAIM, worker_id)
        stage.at(2)
        return job_id, shard, worker_id, execution_id

    def test_end_does_not_wait_for_the_tick_and_its_fire_is_let_go(self, stage: Stage) -> None:
        job_id, shard, worker_id, execution_id = self.running(stage)
        with stage.a.transaction():
            assert tick(stage.a, shard) == 1
            assert finish(stage.b, worker_id, execution_id, 1)
        assert value(stage.watcher, self.HELD) == 1
        assert value(stage.watcher, "select scheduler.reap()") == 0
        assert value(stage.watcher, self.HELD) == 0
        assert len(rows(stage.watcher, CLAIM, worker_id)) == 1
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)] * 2

    def test_tick_passes_over_a_job_whose_execution_is_ending(self, stage: Stage) -> None:
        job_id, shard, worker_id, execution_id = self.running(stage)
        with stage.a.transaction():
            assert finish(stage.a, worker_id, execution_id, 1)
            assert tick(stage.b, shard) == 0
        assert tick(stage.b, shard) == 1
        assert value(stage.watcher, self.HELD) == 0
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)] * 2


class TestChangesOfJobs:
    PUT = """
        select scheduler.put_job(name => 'job', job_type => 'python', target => '"anything"',
            schedule => '*/2 * * * * *', overlap => 'allow', misfire => 'fire_all')
    """
    DELETE = "select scheduler.delete_job(%s)::text"

    def test_change_waits_for_the_tick(self, stage: Stage) -> None:
        job_id, shard = stage.create_job()
        stage.at(1)
        stage.a.execute("begin")
        assert tick(stage.a, shard) == 1
        with waiting(stage.watcher, stage.b, lambda conn: value(conn, self.PUT)) as put:
            stage.a.execute("commit")
            assert put.result() == job_id
        stage.at(4)
        assert tick(stage.a, shard) == 2
        fire_ats = rows(stage.watcher, "select fire_at from scheduler.fires order by fire_at")
        assert [at.second for (at,) in fire_ats] == [1, 2, 4]

    def test_tick_passes_over_a_job_that_is_being_changed(self, stage: Stage) -> None:
        _, shard = stage.create_job()
        stage.at(3)
        with stage.a.transaction():
            value(stage.a, self.PUT)  # what was due under the old schedule gets its verdict first
            assert tick(stage.b, shard) == 0
        stage.at(6)
        assert tick(stage.b, shard) == 2
        fire_ats = rows(stage.watcher, "select fire_at from scheduler.fires order by fire_at")
        assert [at.second for (at,) in fire_ats] == [1, 2, 3, 4, 6]

    def test_second_creator_of_a_name_is_refused(self, stage: Stage) -> None:
        stage.a.execute("begin")
        first = value(stage.a, CREATE_JOB, "job", "allow")
        with waiting(stage.watcher, stage.b, lambda conn: value(conn, CREATE_JOB, "job", "allow")) as second:
            stage.a.execute("commit")
            with pytest.raises(psycopg.errors.UniqueViolation):
                second.result()
        assert rows(stage.watcher, "select job_id from scheduler.jobs") == [(first,)]

    def test_name_is_free_when_its_creator_fails(self, stage: Stage) -> None:
        stage.a.execute("begin")
        value(stage.a, CREATE_JOB, "job", "allow")
        with waiting(stage.watcher, stage.b, lambda conn: value(conn, CREATE_JOB, "job", "allow")) as second:
            stage.a.execute("rollback")
            job_id = second.result()
        assert rows(stage.watcher, "select job_id from scheduler.jobs") == [(job_id,)]

    def test_deletion_waits_for_the_tick(self, stage: Stage) -> None:
        job_id, shard = stage.create_job()
        stage.at(1)
        stage.a.execute("begin")
        assert tick(stage.a, shard) == 1
        with waiting(stage.watcher, stage.b, lambda conn: value(conn, self.DELETE, job_id)) as deleted:
            stage.a.execute("commit")
            deleted.result()
        stage.at(9)
        assert tick(stage.a, shard) == 0
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)]

    def test_tick_passes_over_a_job_that_is_being_deleted(self, stage: Stage) -> None:
        job_id, shard = stage.create_job()
        stage.at(1)
        with stage.a.transaction():
            value(stage.a, self.DELETE, job_id)
            assert tick(stage.b, shard) == 0
        stage.at(9)
        assert tick(stage.b, shard) == 0
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)]

    def test_put_of_a_job_that_is_being_deleted_makes_it_anew(self, stage: Stage, connect: Connect) -> None:
        """The name was taken when it looked, and is free when it gets the lock."""
        old, _ = stage.create_job()
        holder = connect()
        holder.execute("begin")
        holder.execute("select from scheduler_internal.schedules where job_id = %s for update", [old])
        with (
            waiting(stage.watcher, stage.a, lambda conn: value(conn, self.DELETE, old)) as deleted,
            waiting(stage.watcher, stage.b, lambda conn: value(conn, self.PUT)) as put,
        ):
            holder.execute("commit")
            deleted.result()
            new = put.result()
        assert rows(stage.watcher, "select job_id from scheduler.jobs") == [(new,)]
        assert new != old


class TestSqlJobs:
    def test_job_that_freezes_before_its_commit_is_cut_off(self, stage: Stage, connect: Connect) -> None:
        """Else it would hold its execution, and its job's schedule, until it thaws or dies."""
        worker_id = stage.register(lease="1 second")
        stage.watcher.execute("select scheduler.enqueue('sql', '\"select 1\"')")
        [(execution_id, attempt, token)] = rows(
            stage.watcher, "select execution_id, attempt, token from scheduler.claim(%s)", worker_id
        )
        frozen = connect(user="pgtick_sql")
        frozen.execute("begin")
        finish_job = "select scheduler.finish_sql_job(%s, %s, %s, null)"
        assert value(frozen, finish_job, execution_id, attempt, token)
        stage.at(3)
        assert value(stage.a, "select scheduler.reap()") == 0
        wait_until(
            lambda: (
                rows(stage.watcher, "select from pg_stat_activity where pid = %s", frozen.info.backend_pid)
                == []
            )
        )
        assert value(stage.a, "select scheduler.reap()") == 1
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            frozen.execute("commit")


class TestFrozenSqlJob:
    """Between its end and its commit it depends on a process outside, which may freeze: nobody may wait."""

    CLAIM = "select execution_id, attempt, token from scheduler.claim(%s)"
    FINISH = "select scheduler.finish_sql_job(%s, %s, %s, null)"

    def enqueue(self, stage: Stage, number: int, *, expires_after: str | None = None) -> UUID:
        """Makes a SQL job in shard 0, the number of those that go there."""
        keys = (key for key in map(str, count()) if md5(key) & 15 == 0)
        key = next(islice(keys, number, None))
        found: UUID = value(
            stage.watcher,
            "select scheduler.enqueue('sql', '\"select 1\"', dedup_key => %s, expires_after => %s::interval)",
            key,
            expires_after,
        )
        assert value(stage.watcher, "select scheduler.get_shard_id(%s)", found) == 0
        return found

    def test_others_of_its_shard_end_and_are_taken_back(self, stage: Stage) -> None:
        alive, silent = stage.register(lease="1 hour"), stage.register()
        for number in (0, 1):
            self.enqueue(stage, number)
        frozen, other = rows(stage.watcher, self.CLAIM, alive) + rows(stage.watcher, self.CLAIM, alive)
        lost = self.enqueue(stage, 2)
        assert rows(stage.watcher, CLAIM, silent) == [(lost, 1)]
        stage.at(11)
        with stage.a.transaction():
            assert value(stage.a, self.FINISH, *frozen)
            stage.b.execute("set lock_timeout = '1ms'")
            assert value(stage.b, "select scheduler.reap()") == 1
            assert finish(stage.b, alive, other[0], other[1])
        ended = "select succeeded, retried from scheduler.stats where job_type = 'sql'"
        assert rows(stage.watcher, ended) == [(2, 1)]

    def test_others_end_while_psql_runs_a_job_and_what_has_expired_ends_by_the_way(
        self, stage: Stage
    ) -> None:
        alive = stage.register(lease="1 hour")
        self.enqueue(stage, 0)
        [(execution_id, attempt, _)] = rows(stage.watcher, self.CLAIM, alive)
        self.enqueue(stage, 1, expires_after="1 second")
        stage.at(2)
        self.enqueue(stage, 2)
        with stage.a.transaction():
            assert rows(stage.a, "select status from scheduler.run_sql_jobs()") == [("succeeded",)]
            stage.b.execute("set lock_timeout = '1ms'")
            assert finish(stage.b, alive, execution_id, attempt)
        ended = "select succeeded, expired from scheduler.stats where job_type = 'sql'"
        assert rows(stage.watcher, ended) == [(2, 1)]


class TestLockOrder:
    def test_claim_that_expires_and_finish_do_not_wait_in_a_circle(
        self, stage: Stage, connect: Connect
    ) -> None:
        """Both count in the rollups of several shards, and a count is locked until the commit."""
        worker_id = stage.register()
        running = self.enqueue(stage, (2, 9, 0))
        assert len(rows(stage.watcher, "select * from scheduler.claim(%s, 10)", worker_id)) == 3
        self.enqueue(stage, (2, 9, 0), expires_after="1 second")
        holder = connect()
        stage.at(2, stage.a, stage.b, stage.watcher, holder)
        for seed in range(100):  # until the rotation begins with shard 9: then come 0 and 2
            stage.a.execute("select setseed(%s / 100.0)", [seed])
            if value(stage.a, "select floor(random() * 16)") == 9:
                stage.a.execute("select setseed(%s / 100.0)", [seed])
                break

        def claim(conn: Db) -> Any:
            return rows(conn, CLAIM, worker_id)

        def finish_two(conn: Db) -> Any:
            ids = [running[2], running[9]]
            end = "select * from scheduler.finish(%s, %s, '{1,1}', '{succeeded,succeeded}')"
            return rows(conn, end, worker_id, ids)

        holder.execute("begin")
        assert finish(holder, worker_id, running[0], 1)
        with (
            meeting(stage.watcher, stage.a, claim) as claimed,
            meeting(stage.watcher, stage.b, finish_two) as finished,
        ):
            holder.execute("commit")
            assert claimed.result() == []
            assert finished.result() == []

    @pytest.mark.parametrize("table", ["waiting", "running"])
    def test_tick_does_not_wait_for_executions_that_another_holds(self, stage: Stage, table: str) -> None:
        """Who holds them may wait for the rollups, which the tick holds from an earlier job."""
        job_id, shard = stage.create_job(overlap="cancel_running")
        worker_id = stage.register()
        stage.at(1)
        assert tick(stage.watcher, shard) == 1
        if table == "running":
            [(execution_id, _)] = rows(stage.watcher, CLAIM, worker_id)
        stage.at(2)
        with stage.a.transaction():
            stage.a.execute(f"select from scheduler_internal.{table} for update".encode())
            assert tick(stage.b, shard) == 1
        if table == "running":
            assert rows(stage.watcher, STOP, worker_id, execution_id, 1) == [("cancelled",)]
            assert finish(stage.watcher, worker_id, execution_id, 1, "cancelled")
        assert value(stage.watcher, "select scheduler.reap()") == 0
        states = "select status, run_at is null from scheduler.executions order by fire_at"
        assert rows(stage.watcher, states) == [("cancelled", False), ("ready", False)]
        assert rows(stage.watcher, VERDICTS, job_id) == [("fired",)] * 2

    def enqueue(
        self, stage: Stage, shards: tuple[int, ...], *, expires_after: str | None = None
    ) -> dict[int, UUID]:
        """Makes an execution in each of these shards: a dedup_key decides where it goes."""
        made: dict[int, UUID] = {}
        for shard in shards:
            key = next(k for k in map(str, count()) if md5(f"{expires_after} {k}") & 15 == shard)
            made[shard] = value(
                stage.watcher,
                "select scheduler.enqueue('python', '\"anything\"', dedup_key => %s,"
                " expires_after => %s::interval)",
                f"{expires_after} {key}",
                expires_after,
            )
            assert value(stage.watcher, "select scheduler.get_shard_id(%s)", made[shard]) == shard
        return made


def stop_before(db: Db, function: str, *looks: str) -> None:
    """Has a function wait before each of these texts, at the n-th time for the advisory lock (42, n)."""
    db.execute("""
        create function public.stop_here() returns void language plpgsql as $$
        declare
            v_stop constant integer := coalesce(current_setting('test.stop', true), '0')::integer + 1;
        begin
            perform set_config('test.stop', v_stop::text, true);
            perform pg_advisory_xact_lock_shared(42, v_stop);
        end $$
    """)
    for look in looks:
        rewrite(db, function, look, f"perform public.stop_here(); {look}")


def md5(text: str) -> int:
    """Returns the first byte of a hash."""
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()[0]
