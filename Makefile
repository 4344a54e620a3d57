# Two commands on a fresh machine: `make demo` and `make test`. `make help` lists all.

PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
WORKERS ?= 2
FUZZ_SECONDS ?= 60
PYTEST_ARGS ?=
MUTANTS ?=

PACKAGES := $(wildcard local_vault/pyproject.toml plugins/*/pyproject.toml emulators/pyproject.toml examples/*/pyproject.toml)
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test check format docs man reference bench bench-docs fuzz mutants clean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

demo: $(VENV)/demo.stamp ## show in a minute what ksm-storage does, without an account
	@$(BIN)/python -m examples.demo

test: $(VENV)/test.stamp check ## check, then run all tests, docs and packaging included
	@scripts/system-packages
	@scripts/install-stand-ins $(BIN)/python
	@scripts/run-tests $(BIN)/python $(WORKERS) $(PYTEST_ARGS)

check: $(VENV)/test.stamp ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@scripts/check-types $(BIN)/python

format: $(VENV)/test.stamp ## rewrite the sources in the one format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/test.stamp ## run every example and check every link in the documentation
	$(BIN)/python -m pytest tests/test_docs.py $(PYTEST_ARGS)

man: $(VENV)/demo.stamp ## make the manual pages, in build/man
	@$(BIN)/python -m ksm_storage.cli.man_pages build/man

reference: $(VENV)/test.stamp ## write the help texts into docs/cli-reference.md
	@$(BIN)/python -m ksm_storage.cli.reference_page docs/cli-reference.md

bench: $(VENV)/test.stamp ## print the benchmarks' tables
	@$(BIN)/python -m benchmarks.measure_all --print

bench-docs: $(VENV)/test.stamp ## measure again, and write the plots and tables of the documentation
	@$(BIN)/python -m benchmarks.measure_all

fuzz: $(VENV)/test.stamp ## fuzz the parsers for FUZZ_SECONDS each, where atheris installs
	@scripts/fuzz $(BIN)/python $(FUZZ_SECONDS)

mutants: $(VENV)/test.stamp ## list the small changes of the code that no test notices; takes an hour
	@scripts/mutants $(BIN)/python $(WORKERS) $(MUTANTS)

clean: ## remove what make, the tests and the tools left behind
	rm -rf .venv .venv-* dist build mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/python.stamp:
	@scripts/make-venv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/demo.stamp: $(VENV)/python.stamp constraints.txt pyproject.toml local_vault/pyproject.toml
	@scripts/install-for-demo $(BIN)/python
	@touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp constraints.txt requirements-dev.txt pyproject.toml $(PACKAGES)
	@scripts/install-for-tests $(BIN)/python
	@touch $(VENV)/demo.stamp $@
