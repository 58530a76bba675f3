"""The account that the server runs as, and whether it gets to the server's files."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from app.binaries import Binaries, ClusterError


def server_account() -> pwd.struct_passwd | None:
    """Returns the account that the server must run as: PostgreSQL refuses to run as root. None: our own."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ClusterError("PostgreSQL does not run as root and there is no user postgres: `useradd -r postgres`")


def is_reachable(path: Path, account: pwd.struct_passwd) -> bool:
    """Tells whether that account may walk down to the path: every folder above it lets it through."""
    for folder in path.resolve().parents:
        if not folder.exists():
            continue
        found = folder.stat()
        bit = 0o100 if found.st_uid == account.pw_uid else 0o010 if found.st_gid == account.pw_gid else 0o001
        if not found.st_mode & bit:
            return False
    return True


def within_reach(binaries: Binaries, folder: Path) -> Binaries:
    """Returns the programs, or a copy of them in that folder if the server's account cannot get to them."""
    account = server_account()
    if account is None or is_reachable(binaries.directory / "postgres", account):
        return binaries
    # The wheel's programs find their libraries beside the package, by a relative path.
    package = binaries.directory.parents[1]
    copy = folder / f"postgresql-{binaries.major}"
    if not copy.exists():
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        draft = copy.with_suffix(".new")
        shutil.rmtree(draft, ignore_errors=True)
        for part in (binaries.directory.parent, *package.parent.glob(f"{package.name}.libs")):
            shutil.copytree(part, draft / part.relative_to(package.parent), symlinks=True)
        draft.rename(copy)
    directory = copy / binaries.directory.relative_to(package.parent)
    return Binaries(directory, binaries.major, binaries.origin)
