"""Benchmarks of this machine, its PostgreSQL and our functions: `python -m loadtest`, `pgtick bench`."""
