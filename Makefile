# Everything a developer types. `make help` lists it.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Four take a third less time on two cores, but crowd out tests that wait for an answer in time.
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help install up test test-variants check format bench bench-api bench-rivals bench-flat load load-limit db-reset

help: ## Lists what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv takes 20 s for what takes pip 90; where uv does not get at the packages (it reads no pip.conf), pip does.
install: $(INSTALLED) ## Puts a virtual environment with pgtick into .venv

$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$$($(PYTHON) --version) is too old: make PYTHON=python3.11 (or newer)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv \
		|| { echo "python3 has no venv module: apt-get install python3-venv"; exit 1; }
	@echo "installing into .venv (once)"
	@{ $(BIN)/pip install --quiet --disable-pip-version-check uv \
		&& $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -e '.[dev]'; } 2>/dev/null \
		|| $(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

up: install ## Runs pgtick with a database of its own and the sample jobs; Ctrl-C stops it
	@$(BIN)/pgtick up

test: install ## Runs all tests, through PgBouncer where it is installed; PGTICK_TEST_POOL=none: past it
	@$(BIN)/pytest -q -n $(TEST_PROCESSES) --dist worksteal

test-variants: install ## Runs the tests of the SQL on the newest PostgreSQL, that of the wheel, without a pooler
	@PGTICK_TEST_PG=wheel PGTICK_TEST_POOL=none $(BIN)/pytest -q -n $(TEST_PROCESSES) -m 'not slow' tests/sql tests/roles tests/migrations

check: install ## Format, lint, types, squawk, and whether functions can be re-applied
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.support.check_sql
	@$(BIN)/squawk --config .squawk.toml sql/*/*.sql sql/grants.sql

format: install ## Formats the Python code
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

bench: install ## Measures ticks, claims and lateness on this machine
	@$(BIN)/pgtick bench

bench-api: install ## Measures the API beside a bare Litestar route, and while Redis is in trouble
	@$(BIN)/python -m loadtest.bench_api
	@$(BIN)/python -m loadtest.bench_outage

bench-rivals: install ## Measures pgtick beside graphile-worker, pg-boss, PgQueuer and Procrastinate (needs node)
	@$(BIN)/python -m loadtest.rivals

bench-flat: install ## Measures how the rate holds under full load, beside rivals, without and with a held transaction
	@$(BIN)/python -m loadtest.bench_flat

load: install ## Puts 10,000 requests a minute of real use on all of it (locust); PROFILES=mixed for one kind
	@$(BIN)/python -m loadtest.load $(PROFILES)

load-limit: install ## Finds the highest rate of enqueues and reads that this machine holds, and of reads alone
	@$(BIN)/python -m loadtest.find_limit $(PROFILES)

db-reset: install ## Throws the local database away (asks first)
	@$(BIN)/python -m app.reset
