"""The API key of whoever runs `pgtick up`: made once, kept where nobody else can read it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict

FILE = "api-key"
NAME = "pgtick up"
SCOPES = ["admin"]


def key_path(folder: Path, conninfo: str | None) -> Path:
    """Returns the file for a database: each that is given has its own key, as has the local one (None)."""
    if conninfo is None:
        return folder / FILE
    given = conninfo_to_dict(conninfo)
    where = repr([str(given.get(part)) for part in ("host", "port", "dbname")])
    return folder / f"{FILE}-{hashlib.sha256(where.encode()).hexdigest()[:12]}"


def keep_key(conn: Connection[Any], path: Path) -> str:
    """Returns the secret in that file, or of a new key if there is none that this database takes."""
    secret = path.read_text().strip() if path.exists() else ""
    digest = hashlib.sha256(secret.encode()).digest()
    known = "select from scheduler.check_api_key(api_key_hash => %s) k where 'admin' = any (k.scopes)"
    if conn.execute(known, [digest]).fetchone() is not None:
        return secret
    made = "select k.api_key from scheduler.create_api_key(name => %s, scopes => %s) k"
    ((secret,),) = conn.execute(made, [NAME, SCOPES]).fetchall()
    path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{secret}\n")
    draft.rename(path)
    return str(secret)
