"""What holds for every schedule, whatever it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import Connection

from tests.cron import generate, oracle

thorough = settings(max_examples=250, deadline=None, derandomize=True)

zones = st.sampled_from(generate.ZONES)
policies = st.sampled_from(generate.DST_POLICIES)


@st.composite
def crons(draw: st.DrawFn) -> str:
    """Cron expressions that fire."""
    random = Random(draw(st.integers(0, 2**32)))
    while not oracle.can_fire(oracle.Cron(text := generate.random_cron(random))):
        pass
    return text


@st.composite
def everies(draw: st.DrawFn) -> str:
    """Schedules of the other kind."""
    number = draw(st.integers(1, 60))
    unit = draw(st.sampled_from(["minutes", "hours", "days", "months"]))
    anchor = draw(st.sampled_from(["", " from 1979-12-31 23:30", " from 1984-02-29T12:00:00Z"]))
    return f"every {number} {unit}{anchor}"


@st.composite
def times(draw: st.DrawFn, zone: str) -> datetime:
    """Times of which half are close to a change of the offset."""
    return generate.random_after(Random(draw(st.integers(0, 2**32))), zone)


@given(data=st.data(), text=crons() | everies(), zone=zones, dst=policies)
@thorough
def test_instants_are_a_chain_that_can_be_walked_both_ways(
    cron: Connection[Any], data: st.DataObject, text: str, zone: str, dst: str
) -> None:
    after = data.draw(times(zone))
    rows = cron.execute(
        """
        with given as materialized (
            select scheduler_internal.compile_schedule(%(text)s, %(zone)s, null, %(dst)s) as spec
        ), chain as materialized (
            select c.at, c.n
            from scheduler.preview(%(text)s, %(zone)s, 6, %(after)s, %(dst)s)
                with ordinality as c(at, n)
        )
        select
            array(select c.at from chain as c order by c.n),
            array(
                select scheduler_internal.instants(
                    g.spec, %(zone)s, %(after)s::timestamptz + interval '1 microsecond', 'infinity', 6)
                from given as g),
            array(
                select scheduler_internal.last_instant(g.spec, %(zone)s, c.at)
                from chain as c, given as g
                order by c.n),
            array(
                select scheduler_internal.last_instant(
                    g.spec, %(zone)s, c.at - interval '1 microsecond')
                from chain as c, given as g
                order by c.n)
        """,
        {"text": text, "zone": zone, "dst": dst, "after": after},
    ).fetchall()
    ((chain, between, newest, before),) = rows
    assert all(earlier < later for earlier, later in pairwise([after, *chain]))
    assert between == chain
    # The newest instant up to one of them is itself, and up to just before it the one before.
    assert newest == chain
    assert before[1:] == chain[:-1]
    if chain and before[0] is not None:
        assert before[0] <= after


@given(data=st.data(), text=crons().filter(lambda text: len(text.split()) == 5), zone=zones, dst=policies)
@thorough
def test_a_leading_second_of_zero_changes_nothing(
    cron: Connection[Any], data: st.DataObject, text: str, zone: str, dst: str
) -> None:
    after = data.draw(times(zone))
    rows = cron.execute(
        """
        select s, array(select p from scheduler.preview(s, %(zone)s, 4, %(after)s, %(dst)s) as p)
        from unnest(array[%(text)s, '0 ' || %(text)s, '0 ' || %(text)s || ' *']) as s
        """,
        {"text": text, "zone": zone, "dst": dst, "after": after},
    ).fetchall()
    assert rows[0][1] == rows[1][1] == rows[2][1]


@given(data=st.data(), text=crons() | everies(), zone=zones)
@thorough
def test_a_fraction_of_a_second_changes_nothing(
    cron: Connection[Any], data: st.DataObject, text: str, zone: str
) -> None:
    after = data.draw(times(zone)).replace(microsecond=0)
    fraction = data.draw(st.integers(1, 999_999))
    rows = cron.execute(
        "select scheduler.next_fire(%s, %s, a) from unnest(%s::timestamptz[]) as a",
        [text, zone, [after, after + timedelta(microseconds=fraction)]],
    ).fetchall()
    assert rows[0] == rows[1]


@given(data=st.data(), text=crons() | everies(), zone=zones)
@thorough
def test_the_session_has_no_say(cron: Connection[Any], data: st.DataObject, text: str, zone: str) -> None:
    after = data.draw(times(zone))
    answers = set()
    for session_zone in ("UTC", "America/New_York", "Pacific/Apia"):
        with cron.transaction():
            cron.execute(f"set local timezone = '{session_zone}'")
            cron.execute("set local datestyle = 'SQL, DMY'")
            cron.execute("set local intervalstyle = 'sql_standard'")
            answers.add(
                cron.execute(
                    "select scheduler.next_fire(%s, %s, %s) at time zone 'UTC'",
                    [text, zone, after.astimezone(UTC)],
                ).fetchall()[0]
            )
    assert len(answers) == 1


def test_there_is_nothing_before_the_anchor(cron: Connection[Any]) -> None:
    rows = cron.execute(
        """
        select
            scheduler_internal.next_instant(s, 'UTC', '2001-05-05') = '2030-01-01',
            scheduler_internal.last_instant(s, 'UTC', '2029-12-31 23:59:59.999999') is null,
            scheduler_internal.last_instant(s, 'UTC', '2030-01-01') = '2030-01-01'
        from unnest(array['every 90 minutes', 'every 3 days', 'every 5 years']) as e,
            scheduler_internal.compile_schedule(e || ' from 2030-01-01 00:00') as s
        """
    ).fetchall()
    assert rows == [(True, True, True)] * 3


def test_the_newest_instant_is_found_centuries_back(cron: Connection[Any]) -> None:
    rows = cron.execute(
        """
        select
            scheduler_internal.last_instant(s, 'UTC', '2198-12-31') = '1970-01-01',
            scheduler_internal.last_instant(s, 'UTC', '2500-01-01') = '2199-01-01',
            scheduler_internal.last_instant(s, 'UTC', '1969-12-31') is null,
            scheduler_internal.last_instant(s, 'UTC', 'infinity') is null
        from scheduler_internal.compile_schedule('0 0 0 1 1 * 1970,2199') as s
        """
    ).fetchall()
    assert rows == [(True, True, True, True)]
