"""Crontabs as Debian ships and people write them, line by line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.crontab_lines import Crontab, Entry, read_crontab

CRONTABS = Path(__file__).parent / "crontabs"
DEBIAN_PATH = "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"


def read(text: str, *, system: bool | None = False) -> Crontab:
    return read_crontab(text.encode(), system=system)


def read_file(name: str, *, system: bool | None = None) -> Crontab:
    path = CRONTABS / name
    return read_crontab(path.read_bytes(), path=path, system=system)


def test_the_systems_crontab() -> None:
    crontab = read_file("etc/crontab")
    assert crontab.system
    assert crontab.remarks == []
    assert [(entry.line, entry.schedule.split(), entry.user) for entry in crontab.entries] == [
        (7, ["17", "*", "*", "*", "*"], "root"),
        (8, ["25", "6", "*", "*", "*"], "root"),
        (9, ["47", "6", "*", "*", "7"], "root"),
        (10, ["52", "6", "1", "*", "*"], "root"),
    ]
    assert crontab.entries[0].command == "cd / && run-parts --report /etc/cron.hourly"
    assert crontab.entries[0].variables == {"SHELL": "/bin/sh", "PATH": DEBIAN_PATH}


@pytest.mark.parametrize(
    ("name", "lines", "starts"),
    [
        ("anacron", [4], ["[ -x /etc/init.d/anacron ] && if"]),
        ("php", [2], ["[ -x /usr/lib/php/sessionclean ] && if"]),
        ("certbot", [4], [r"test -x /usr/bin/certbot -a \! -d"]),
        ("e2scrub_all", [1, 2], ["test -e /run/systemd/system || SERVICE_MODE=1 /usr", "test -e /run"]),
    ],
)
def test_a_packages_crontab(name: str, lines: list[int], starts: list[str]) -> None:
    crontab = read_file(f"cron.d/{name}")
    assert crontab.remarks == []
    assert [entry.line for entry in crontab.entries] == lines
    assert [entry.user for entry in crontab.entries] == ["root"] * len(lines)
    for entry, start in zip(crontab.entries, starts, strict=True):
        assert entry.command.startswith(start)


def test_an_anacrontab_is_not_mistaken_for_a_crontab() -> None:
    crontab = read_file("etc/anacrontab")
    assert crontab.entries == []
    assert [remark.line for remark in crontab.remarks if remark.refused] == [5, 6, 7]
    assert all("anacrontab" in remark.what for remark in crontab.remarks)


def test_a_users_crontab() -> None:
    crontab = read_file("people/backup")
    entries = {entry.line: entry for entry in crontab.entries}
    assert not crontab.system
    assert entries[8].variables == {
        "MAILTO": "ops@example.com",
        "PATH": "$HOME/bin:/usr/bin:/bin",
        "SHELL": "/bin/bash",
        "GREETING": "  hello  ",
        "EMPTY": "",
        "HOME": "/srv/app",
    }
    assert entries[10] == Entry(10, "@daily", "/usr/local/bin/rotate", None, entries[8].variables)
    assert entries[12].schedule == "*/5 * * * *"
    assert "CRON_TZ" not in entries[13].variables
    assert entries[15].variables["CRON_TZ"] == "Europe/Berlin"
    assert entries[30].command == "x=1 y=2 env"
    assert [(remark.line, remark.refused) for remark in crontab.remarks] == [
        (31, False),  # no newline at the end
        (2, False),  # MAILTO
        (3, False),  # $HOME
        (25, True),  # five fields and no command
        (26, True),  # prose
        (29, False),  # TZ
    ]


def test_windows_line_ends_do_not_reach_the_command() -> None:
    crontab = read_file("people/windows")
    assert [entry.command for entry in crontab.entries] == ["echo hi"]
    assert crontab.entries[0].variables == {"FOO": "bar"}
    assert [(remark.line, remark.refused) for remark in crontab.remarks] == [(1, False)]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("A=b", "A", "b"),
        ("A = b c  ", "A", "b c"),
        ("A=", "A", ""),
        ("A = 'x=y'", "A", "x=y"),
        ('"A B" = " c "', "A B", " c "),
        ("\t A\t=\tb", "A", "b"),
        ("A=b # not a comment", "A", "b # not a comment"),
        ("A=it's", "A", "it's"),
        ("A=b=c", "A", "b=c"),
    ],
)
def test_variables(line: str, name: str, value: str) -> None:
    assert read(f"{line}\n0 0 * * * x\n").entries[0].variables == {name: value}


@pytest.mark.parametrize("line", ['A="b" c', "A", "A b=c", "=b", 'A="b', '""=b'])
def test_what_is_no_variable(line: str) -> None:
    crontab = read(f"{line}\n")
    assert [remark.refused for remark in crontab.remarks] == [True]


def test_a_variable_holds_for_the_lines_below_it() -> None:
    entries = read("0 0 * * * a\nV=1\n0 0 * * * b\nV=2\n0 0 * * * c\n").entries
    assert [entry.variables.get("V") for entry in entries] == [None, "1", "2"]


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ("* * * * * root /bin/a\n", True),
        ("@hourly www-data php x.php\n0 0 * * * /bin/forgot-the-user\n0 1 * * * root y\n", True),
        ("* * * * * echo root\n", False),
        ("* * * * * root\n", False),
        ("* * * * * sync\n* * * * * git fetch\n", False),
        ("0 3 * * * mysql -u root -e 'optimize table t'\n", False),
        ("0 3 * * * nginx -s reload\n0 4 * * * mail -s report root < report\n", False),
        ("@daily backup --all\n@daily backup /srv\n", False),
        ("@daily root -l -b -q macro.C\n", False),
        ("A=b\n# nothing here\n", False),
        ("", False),
    ],
)
def test_the_user_column_is_found(text: str, system: bool) -> None:
    assert read(text, system=None).system is system


def test_an_entry_without_its_user_is_refused() -> None:
    crontab = read("0 0 * * * /bin/x --flag\n0 1 * * * root\n", system=True)
    assert crontab.entries == []
    assert [remark.line for remark in crontab.remarks if remark.refused] == [1, 2]


def test_a_comment_may_be_in_any_encoding() -> None:
    crontab = read_crontab(b"# caf\xe9\n\t#\0\n0 0 * * * a\n", system=False)
    assert [entry.command for entry in crontab.entries] == ["a"]
    assert crontab.remarks == []


def test_bytes_that_are_no_text_are_refused_by_line() -> None:
    crontab = read_crontab(b"0 0 * * * a\n0 0 * * * \xff\n0 0 * * * b\0\n", system=False)
    assert [entry.command for entry in crontab.entries] == ["a"]
    assert [remark.line for remark in crontab.remarks] == [2, 3]


@given(st.text(alphabet="*/,-~0159 \t\n=\"'@%\\#rot$azA", max_size=200))
def test_every_line_is_blank_a_variable_an_entry_or_refused(text: str) -> None:
    crontab = read(text)
    entries = [entry.line for entry in crontab.entries]
    refused = [remark.line for remark in crontab.remarks if remark.refused]
    assert len(set(entries + refused)) == len(entries) + len(refused)
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            assert number not in entries + refused
        elif "=" not in line:
            assert number in entries + refused


@pytest.mark.parametrize("piece", [" ", "\t", "a", "=", '"', "* ", "a ", "@", "% ", "a="])
def test_long_lines_take_no_longer_than_their_length(piece: str) -> None:
    text = "A=x" + piece * 300_000 + "'"
    started = time.process_time()
    read(text + "\n" + piece * 300_000 + "\n", system=None)
    assert time.process_time() - started < 2
