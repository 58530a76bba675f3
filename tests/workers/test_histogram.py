"""Our histogram tells what the library's does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from workers.histogram import DurationsBy

BUCKETS = (0.005, 0.1, 1, 30, 3600)
SECONDS = st.sampled_from((0.0, *BUCKETS, 1e9)) | st.floats(0, 10_000)


@given(st.lists(st.tuples(st.sampled_from(("default", 'a "b"\\\n')), SECONDS)))
def test_it_is_told_as_the_librarys(observed: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = DurationsBy("wait_seconds", "How long", "queue", buckets=BUCKETS, registry=ours)
    its = Histogram("wait_seconds", "How long", ["queue"], buckets=BUCKETS, registry=theirs)
    for queue, seconds in observed:
        mine.labels(queue).observe(seconds)
        its.labels(queue=queue).observe(seconds)
    lines = [line for line in generate_latest(theirs).splitlines() if b"_created" not in line]
    assert generate_latest(ours).splitlines() == lines
