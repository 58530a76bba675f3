"""A real nginx, configured by the deploy/nginx.conf that we ship, in front of APIs that a test runs."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.program import Program, accepts, free_port

SHIPPED = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"
TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class Nginx:
    """A running nginx that leads to those ports of 127.0.0.1."""

    def __init__(
        self, folder: Path, ports: Sequence[int], *, changes: Mapping[str, str] | None = None
    ) -> None:
        """Starts it in that folder, which the account of its workers must reach: not one of pytest's.

        Other `changes` are texts of the shipped configuration and what stands there instead.
        """
        self.port = free_port()
        self._folder = folder
        self._conf = folder / "nginx.conf"
        self._access_log = folder / "access.log"
        text = self._render(SHIPPED.read_text(), ports)
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new)
        self._conf.write_text(text)
        self._program = self._launch()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of its master."""
        return self._program.pid

    def entries(self) -> list[dict[str, Any]]:
        """Returns what its access log holds by now."""
        return [json.loads(line) for line in self._access_log.read_text().splitlines()]

    def errors(self) -> str:
        """Returns what its error log holds by now."""
        return (self._folder / "error.log").read_text()

    def stop(self) -> None:
        """Stops it at once."""
        self._program.stop()

    def __enter__(self) -> Self:
        """Is started already."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Stops it."""
        self.stop()

    def _render(self, text: str, ports: Sequence[int]) -> str:
        """Returns the shipped configuration with this machine's ports and paths; the rest stays."""
        parameters = re.findall(r"^ *server 127\.0\.0\.1:\d+( .*;)$", text, re.MULTILINE)
        servers = "".join(f"        server 127.0.0.1:{port}{parameters[0]}\n" for port in ports)
        folders = "".join(f"    {name}_temp_path {self._folder}/{name};\n" for name in TEMPORARY)
        changes = {
            r"(^ *server 127\.0\.0\.1:.*\n)+": servers,
            r"(?<=listen )8080": f"127.0.0.1:{self.port}",
            r"/run/nginx\.pid": f"{self._folder}/nginx.pid",
            r"/var/log/nginx/": f"{self._folder}/",
            r"(?<=^worker_processes )auto": "2",
            r"(?<=^http \{\n)": folders,
        }
        for pattern, replacement in changes.items():
            text, count = re.subn(pattern, lambda _, new=replacement: new, text, flags=re.MULTILINE)  # type: ignore[misc]
            assert count, f"{SHIPPED} has no {pattern}"
        return text

    def _launch(self) -> Program:
        path = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        if path is None:
            pytest.skip("needs nginx")
        command = [path, "-c", str(self._conf), "-e", str(self._folder / "error.log"), "-g", "daemon off;"]
        program = Program(command, log=self._folder / "nginx.log")
        program.wait_for(lambda: accepts(self.port))
        return program
