"""A certificate authority made on the fly, and what it signs."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

EXTENSIONS = "subjectAltName=IP:127.0.0.1,DNS:localhost"


@dataclass(frozen=True)
class Certificates:
    """A server's certificate and key for 127.0.0.1, and the authority that a client must trust for it."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificates:
        """Makes them in that folder, valid for two days."""
        if shutil.which("openssl") is None:
            pytest.skip("needs the program openssl")
        made = cls(folder / "authority.pem", folder / "server.pem", folder / "server.key")
        authority_key, request = folder / "authority.key", folder / "server.csr"
        extensions = folder / "server.ext"
        extensions.write_text(f"{EXTENSIONS}\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        _openssl(
            *("req", "-x509", *new_key, "-days", "2", "-subj", "/CN=tests of pgtick"),
            *("-keyout", authority_key, "-out", made.authority),
        )
        _openssl("req", *new_key, "-subj", "/CN=127.0.0.1", "-keyout", made.key, "-out", request)
        _openssl(
            *("x509", "-req", "-days", "2", "-in", request, "-CA", made.authority, "-CAkey", authority_key),
            *("-CAcreateserial", "-extfile", extensions, "-out", made.certificate),
        )
        return made


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
