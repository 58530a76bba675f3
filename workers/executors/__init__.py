"""How executions of each job type are run."""

from __future__ import annotations
