# On a fresh machine `make demo` and `make test` work at once; `make help` lists every target.

PYTHON ?= python3
VENV ?= .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
WORKERS ?= 2
FUZZ_SECONDS ?= 60
PYTEST_ARGS ?=
MUTANTS ?=

# The tests start thousands of processes: without compiled modules each compiles everything again.
unexport PYTHONDONTWRITEBYTECODE

PACKAGES := $(wildcard local_vault/pyproject.toml plugins/*/pyproject.toml emulators/pyproject.toml examples/*/pyproject.toml)
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-quick test-pythons pythons check format docs site dist man reference picture bench bench-docs fuzz mutants clean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: $(VENV)/demo.stamp ## watch ksm-storage at work; needs no account
	@$(BIN)/python -m examples.demo

test: $(VENV)/test.stamp check ## run the checks, then all tests, documentation and packaging included
	@scripts/system-packages
	@scripts/install-stand-ins $(BIN)/python
	@scripts/run-tests $(BIN)/python $(WORKERS) $(PYTEST_ARGS)

test-quick: $(VENV)/quick.stamp ## run the tests that take less than a minute
	@scripts/run-quick-tests $(BIN)/python $(WORKERS) $(PYTEST_ARGS)

test-pythons: ## run the quick tests on this machine's oldest and newest Python
	@scripts/list-pythons $(PYTHON) | xargs -r -P 2 -I {} scripts/in-one-piece \
		$(MAKE) --no-print-directory test-quick PYTHON={}

pythons: ## fetch Python 3.14 and 3.15 into .pythons; needs root on Debian or Ubuntu
	@scripts/fetch-pythons .pythons

check: $(VENV)/test.stamp ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@scripts/check-types $(BIN)/python

format: $(VENV)/test.stamp ## format the sources
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/test.stamp ## run every example in the documentation and check its links
	$(BIN)/python -m pytest tests/test_docs.py $(PYTEST_ARGS)

site: $(VENV)/python.stamp ## build the documentation as a site in build/site, search included
	@scripts/build-site $(BIN)/python

dist: $(VENV)/test.stamp ## build wheels and source distributions, reproducibly, with SBOMs and hashes
	@rm -rf dist
	@$(BIN)/python -m release.build dist

man: $(VENV)/demo.stamp ## build the manual pages in build/man
	@$(BIN)/python -m ksm_storage.cli.pages man build/man

reference: $(VENV)/test.stamp ## generate docs/cli-reference.md from the help texts
	@$(BIN)/python -m ksm_storage.cli.pages reference docs/cli-reference.md

picture: $(VENV)/test.stamp ## draw docs/pictures/session.svg from a run
	@$(BIN)/python -m examples.demo.picture docs/pictures/session.svg

bench: $(VENV)/test.stamp ## run the benchmarks and print their tables
	@$(BIN)/python -m benchmarks.measure_all --print

bench-docs: $(VENV)/test.stamp ## run the benchmarks and update the tables and plots in the documentation
	@$(BIN)/python -m benchmarks.measure_all

fuzz: $(VENV)/test.stamp ## fuzz each parser for FUZZ_SECONDS; needs a platform with atheris
	@scripts/fuzz $(BIN)/python $(FUZZ_SECONDS)

mutants: $(VENV)/test.stamp ## list the mutations of the code that no test detects; takes an hour
	@scripts/mutants $(BIN)/python $(WORKERS) $(MUTANTS)

clean: ## remove everything that make and the tests created
	rm -rf .venv .venv-* .pythons dist build mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/python.stamp:
	@scripts/make-venv $(PYTHON) $(VENV)
	@touch $@

$(VENV)/demo.stamp: $(VENV)/python.stamp constraints.txt pyproject.toml local_vault/pyproject.toml
	@scripts/install-for-demo $(BIN)/python
	@touch $@

$(VENV)/quick.stamp: $(VENV)/python.stamp constraints.txt requirements-quick.txt pyproject.toml
	@scripts/install-for-quick-tests $(BIN)/python
	@touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp constraints.txt requirements-dev.txt requirements-quick.txt pyproject.toml $(PACKAGES)
	@scripts/install-for-tests $(BIN)/python
	@touch $(VENV)/demo.stamp $(VENV)/quick.stamp $@
