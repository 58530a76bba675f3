"""YAML as job files read it."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from app.documents import to_json
from app.jobfile_export import dump
from app.jobfile_yaml import MAX_BYTES, MAX_DEPTH, Json, read_yaml

# Any JSON that the database can hold, with the texts that YAML could take for something else.
# fmt: off
ODD_TEXTS = [
    "yes", "no", "on", "null", "~", "", "1:30", "2026-01-01", "1e5", "0o17", "0x1F", "010", "+1", "-", "- a",
    "a: b", "*", "&a", "!x", "%", "@daily", "* * * * *", "#", "a #b", " a", "a ", "a\n", "\na", " \n a\n\n",
    ".inf", "1_000", "=", "<<", "?", "|", ">", "'", '"', "\t", "a\tb", "\u2028", "\x85", "\ufeff", "\x7f",
    "😀", ".5", "1.", "1.e+3", "---", "...",
]
# fmt: on
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
TEXTS |= st.sampled_from(ODD_TEXTS)
INTEGERS = st.integers(-(10**30), 10**30)
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | INTEGERS
    | st.builds(lambda digits, places: Decimal(f"{digits}e-{places}"), INTEGERS, st.integers(1, 40))
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400)
@given(DOCUMENTS)
def test_what_is_dumped_is_read_back(document: Json) -> None:
    root, problems = read_yaml(dump({"a": document}).encode())
    assert problems == []
    assert root is not None
    assert root.plain() == {"a": document}
    assert to_json(root.plain()) == to_json({"a": document})


@settings(max_examples=400)
@given(st.text(alphabet="ab:-[]{}'\"#&*!|>%@,? \n\t\r\0\ud83d0.e", max_size=60) | st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    root, problems = read_yaml(text.encode(errors="surrogatepass"))
    assert all(problem.line >= 1 and problem.what for problem in problems)
    if root is not None and not problems:
        to_json(root.plain())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("true", True),
        ("1:30:00", "1:30:00"),
        ("2026-01-01", "2026-01-01"),
        ("010", 10),
        ("0o10", 8),
        ("0x1F", 31),
        ("0x" + "f" * 3498, 16**3498 - 1),
        ("0x" + "f" * 3990, "0x" + "f" * 3990),  # more than Python can write as a number
        ("-1.5e3", Decimal("-1500")),
        ("~", None),
        ("'5'", "5"),
        ("1_000", "1_000"),
    ],
)
def test_scalars_mean_what_their_writer_means(text: str, value: object) -> None:
    root, problems = read_yaml(f"a: {text}".encode())
    assert problems == []
    assert root is not None
    assert root.plain() == {"a": value}
    assert to_json(root.plain())


@pytest.mark.parametrize(
    ("data", "line", "what", "hint"),
    [
        (b"a:\n  s: * * * * *\n", 2, "not YAML", "quotes"),
        (b"a:\n  s: @daily\n", 2, "not YAML", "quotes"),
        (b"a:\n\tb: 1\n", 2, "not YAML", "spaces"),
        (b"a: 1\nb: 2\na: 3\n", 3, '"a" is written twice', "line 1"),
        (b"a:\n  b: 1\n  'b': 1\n", 3, '"b" is written twice', "line 2"),
        (b"a: &x 1\nb: *x\n", 1, "anchor", "defaults"),
        (b"a: !!python/object/apply:os.system [id]\n", 1, "tag", "remove"),
        (b"a: 1\n---\nb: 2\n", 2, "second document", "one document"),
        (b"a: 1\nb: .nan\n", 2, ".nan", "quotes"),
        (b"a: 1e99999\n", 1, "1e99999", "quotes"),
        (b"x: " + b"9" * 20_000, 1, "999", "quotes"),
        (b'a: 1\nb: "\\0"\n', 2, "\\0", "remove"),
        (b"a: 1\nb: \x07\n", 2, "control", "check"),
        (b"a: 1\nb: \xff\n", 2, "UTF-8", "save"),
        (b"? [a]\n: 1\n", 1, "key", "quotes"),
        (b"a: [1,\n", 2, "not YAML", "check"),
        (b" " * (MAX_BYTES + 1), 1, "larger", "split"),
        (b"[" * (MAX_DEPTH + 2), 1, "nested", "flatten"),
    ],
)
def test_what_is_refused(data: bytes, line: int, what: str, hint: str) -> None:
    problems = read_yaml(data)[1]
    assert problems[0].line == line
    assert what in problems[0].what
    assert hint in (problems[0].hint or "")


@pytest.mark.parametrize(
    "piece", [b"[", b"{", b"- ", b"? ", b"a: ", b"&a ", b"!x ", b"'", b"|\n", b"#\n", b"*a ", b"\n"]
)
def test_a_hostile_megabyte_is_refused_quickly(piece: bytes) -> None:
    data = piece * (2**20 // len(piece))
    started = time.process_time()
    read_yaml(data)
    assert time.process_time() - started < 3


def test_an_export_of_thousands_of_jobs_is_read_back() -> None:
    target: Json = {
        "url": "https://reports.example.com/build",
        "method": "POST",
        "headers": {"X-Team": "data"},
    }
    job: Json = {"schedule": "30 2 * * *", "http": target, "payload": {"kind": "daily"}}
    jobs: Json = {f"job-{number}": job for number in range(6_000)}
    root, problems = read_yaml(dump({"version": 1, "jobs": jobs}).encode())
    assert problems == []
    assert root is not None
    assert root.plain() == {"version": 1, "jobs": jobs}


def test_the_quick_parser_is_there() -> None:
    """Without libyaml a large file takes ten times as long; the wheels of PyYAML have it."""
    assert yaml.__with_libyaml__
