"""What docs/api.md and the README say to paste works as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.support.api import RunningApi
from tests.support.cli import environment

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"docs/api.md": 4, "README.md": 1}
TIMED_OUT = 28

# A failed call fails the block, and a stream is left after a while.
CURL = f'curl() {{ command curl -sS --fail --max-time 5 "$@" || [ $? = {TIMED_OUT} ]; }}; set -e -o pipefail'


def blocks(page: str) -> list[str]:
    """Returns the blocks of shell on a page that call the API."""
    found = re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in found if "$API/" in block]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing: apt-get install curl")
@pytest.mark.parametrize("page", PAGES)
def test_what_it_says_to_paste_works(page: str, api: RunningApi) -> None:
    shown = blocks(page)
    assert len(shown) == PAGES[page]
    for block in shown:
        lines = [line for line in block.splitlines() if not line.startswith(("API=", "KEY="))]
        done = subprocess.run(
            ["bash", "-c", "\n".join([CURL, *lines])],
            env=environment() | {"API": api.url, "KEY": api.keys["admin"]},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, (block, done)
        assert "/v1/events" not in block or "event: hello" in done.stdout


def test_every_route_that_it_names_is_there(client: httpx.Client) -> None:
    known = set(client.get("/schema/openapi.json").json()["paths"])
    table = (ROOT / "docs/api.md").read_text().partition("## Routes")[2].partition("## Pages")[0]
    named: list[str] = []
    for shortened, path in re.findall(r"(…?)(/[\w{}/-]+)", table):
        named.append(named[-1].rpartition("/")[0] + path if shortened else path)
    assert "/v1/jobs/{id}/resume" in named
    patterns = [re.compile(re.sub(r"\{\w+\}", r"{\\w+}", path)) for path in named]
    assert [each.pattern for each in patterns if not any(map(each.fullmatch, known))] == []
