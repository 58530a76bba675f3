"""`python -m app` is `pgtick`."""

from __future__ import annotations

from app.cli import main

main()
