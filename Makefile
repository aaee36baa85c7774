# tallymark: `make` lists what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt
TORTURE_ROUNDS ?= 200

.PHONY: help setup demo serve test test-all torture check format reference bench constraints tools clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Debian splits venv off Python; where we may, we bring it.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tallymark needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -m venv .venv 2>/dev/null || { rm -rf .venv; bash scripts/install-packages python3-venv && $(PYTHON) -m venv .venv; }
	@$(INSTALL) --upgrade pip

.venv/.server: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing tallymark and what it needs into .venv …"
	@$(INSTALL) --editable '.[server]'
	@touch $@

.venv/.demo: .venv/.server
	@$(INSTALL) --group demo
	@touch $@

.venv/.test: .venv/.server
	@$(INSTALL) --group test
	@touch $@

.venv/.check: .venv/.server
	@$(INSTALL) --group check
	@touch $@

.venv/.bench: .venv/.test
	@$(INSTALL) --group bench
	@touch $@

setup: .venv/.server ## Make .venv with the tallymark command in it

demo: .venv/.demo ## A year of real flights as charts (ONCE=1: check the figures and end)
	@$(BIN)/python demo/run.py

serve: .venv/.server ## Start the server with the data folder ./data
	@$(BIN)/tallymark serve

tools: # What some tests drive, where it is missing and we may install it
	@command -v chromium >/dev/null || bash scripts/install-packages chromium || echo "no Chromium: the browser tests will be skipped (in CI they fail)"
	@command -v prometheus >/dev/null || bash scripts/install-packages prometheus || echo "no Prometheus: the test of scraping will be skipped (in CI it fails)"
	@command -v nginx >/dev/null || bash scripts/install-packages nginx-light || echo "no nginx: the test behind a reverse proxy will be skipped (in CI it fails)"
	@command -v npm >/dev/null || bash scripts/install-packages npm || echo "no npm: the test with posthog-node will be skipped (in CI it fails)"
	@command -v strace >/dev/null || bash scripts/install-packages strace || echo "no strace: the test of a disk that fails will be skipped (in CI it fails)"

test: .venv/.test tools ## The test suite
	@$(BIN)/python -m pytest -m "not long" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-all: .venv/.test tools ## The test suite with the long tests
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

torture: .venv/.test ## 200 rounds of kill -9 while clients send
	@TALLYMARK_TORTURE_ROUNDS=$(TORTURE_ROUNDS) $(BIN)/python -m pytest -m long tests/torture -s

check: .venv/.check .venv/.test ## Format, lint, types, import rules, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python scripts/check_sizes.py
	@$(BIN)/python scripts/check_docs.py
	@$(BIN)/python scripts/build_reference.py --check

format: .venv/.check ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

reference: .venv/.server ## Write the docs that are made from the code
	@$(BIN)/python scripts/build_reference.py

bench: .venv/.bench ## Measure the figures of docs/performance.md (PART="writing growth": only these)
	@$(BIN)/python bench/run.py $(PART)

constraints: .venv/.bench .venv/.check .venv/.demo ## Write constraints.txt from what is installed
	@$(PIP) freeze --exclude-editable | grep -E '^[A-Za-z0-9._-]+==' > constraints.txt

clean: ## Remove .venv and everything that is made
	@rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
