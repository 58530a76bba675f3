"""Benchmarks: what this machine, this PostgreSQL and these functions do. `python -m loadtest` or `pgtick bench`."""
