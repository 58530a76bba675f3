"""The schema of a database as text, for comparing two of them."""

from __future__ import annotations

import os
import re
import subprocess

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from app.cluster import Cluster

# pg_dump writes a random word into \restrict and \unrestrict, against hostile servers.
NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|)$\n", re.MULTILINE)


def dump_schema(cluster: Cluster, conninfo: str) -> str:
    """Returns `pg_dump --schema-only` without comments and empty lines."""
    parts = conninfo_to_dict(conninfo)
    environ = os.environ | {"PGPASSWORD": str(parts.pop("password"))}
    command = [cluster.binaries.program("pg_dump"), "--schema-only", "-d", make_conninfo("", **parts)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    return NOISE.sub("", done.stdout)
