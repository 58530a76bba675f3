"""What our SQL raises is what the table of errors in sql/README.md says, no more and no less."""

from __future__ import annotations

import re

from migrations.files import SQL, repeatable_files
from tests.lint.test_sql_files import without_comments

# A code is a literal of its own: after `errcode =`, as the last argument of refuse(), or as its default.
CODE = re.compile(r"(?:errcode\s*=\s*|default\s+|,\s*)'([0-9A-Z]{5})'(?=\s*[,)\n]|$)", re.M | re.I)
RAISE_WITHOUT_CODE = re.compile(r"\braise\s+(?:exception\s+)?(?:'|using\s+message)", re.I)


def raised_codes() -> dict[str, list[str]]:
    """Returns the codes in the functions, each with the files that name it."""
    found: dict[str, list[str]] = {}
    for path in repeatable_files():
        for code in CODE.findall(re.sub(r"--[^\n]*", "", path.read_text())):
            if re.fullmatch(r"[0-9A-Z]*[0-9][0-9A-Z]*", code):
                found.setdefault(code, []).append(path.stem)
    return found


def documented_codes() -> set[str]:
    """Returns the codes of the table of errors in sql/README.md."""
    section = (SQL / "README.md").read_text().split("\n## Errors\n", 1)[1].split("\n## ", 1)[0]
    return set(re.findall(r"^\| ([0-9A-Z]{5}) \|", section, re.M))


def test_codes_are_documented_and_used() -> None:
    """The table and the functions name the same codes."""
    assert set(raised_codes()) == documented_codes()


def test_own_codes_are_few() -> None:
    """A class of our own only where a caller must branch."""
    own = {code for code in documented_codes() if code.startswith("JB")}
    assert own == {"JB001", "JB002", "JB003", "JB004"}


def test_nothing_is_raised_without_a_code() -> None:
    """P0001 tells a caller nothing."""
    bare = [p.stem for p in repeatable_files() if RAISE_WITHOUT_CODE.search(without_comments(p.read_text()))]
    assert bare == []
