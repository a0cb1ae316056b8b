# cityguard: two commands on a bare machine with Python 3.11+: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
SECONDS ?= 60

.PHONY: demo test check bench install dev fast fuzz truth services assets clean

demo: .venv/installed  ## install, run the whole mission on the sample city, open the console
	$(BIN)/cityguard demo $(ARGS)

test: .venv/developed services  ## every test, against a real Elasticsearch where Java is there
	$(BIN)/pytest -q -n auto --maxprocesses 4 --dist loadfile

check: .venv/developed services  ## formatting, lint, types, tests with warnings as errors
	scripts/check

bench: .venv/developed services  ## figures as ratios against named peers; JSON in artifacts/
	scripts/bench

install: .venv/installed

dev: .venv/developed

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("cityguard needs Python 3.11 or newer: make PYTHON=python3.12") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements/base.txt requirements/build.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/base.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/developed: .venv/installed requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@

fast: .venv/installed  ## the compiled packet and export path: about 3 times the flows per second
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fast.txt

fuzz: .venv/developed  ## a coverage-guided fuzzer on every decoder, SECONDS each
	scripts/fuzz $(SECONDS)

truth: .venv/developed  ## our decoders' answers beside those of other people's tools (needs their data)
	scripts/truth

services:  ## what the tests drive from outside; says so and goes on where it may not install
	scripts/test-services

assets: .venv/installed  ## front-end files from their packages
	scripts/assets

clean:
	rm -rf .venv build dist artifacts demo .pytest_cache .mypy_cache .ruff_cache
