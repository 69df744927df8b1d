# Two commands answer the question: `make demo` shows it, `make test` checks it.
# Each makes .venv if it is missing and installs the pinned versions first.

PYTHON ?= $(shell for p in python3.11 python3 python; do $$p -c '' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
# Python compiles what is imported, once; all that is installed would take pip half a minute more.
PIP := $(BIN)/python -m pip install --quiet --quiet --no-compile --disable-pip-version-check -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE
# The networks here are tiny: more threads only get in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest

.DELETE_ON_ERROR:
.PHONY: help demo test test-slow lint format formal docs serve picture bench build clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */ /' | awk '{ c=$$1; $$1=""; printf "make %-11s%s\n", c, $$0 }'

demo: .venv/run.stamp  ## the whole answer on the screen, figures and a report in whyactivate-demo/
	$(BIN)/whyactivate demo $(ARGS)

test: .venv/dev.stamp  ## the tests (ARGS="-k collapse" for some of them)
	$(PYTEST) -n 2 --dist loadgroup -m "not slow" $(ARGS)

test-slow: .venv/dev.stamp  ## the tests that take long: more examples, more inputs, a cluster
	$(PYTEST) -n 2 --dist loadgroup -m slow $(ARGS)

lint: .venv/dev.stamp  ## style, types, the one-way imports, and the workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo
	$(BIN)/zizmor --offline --strict-collection --quiet --no-progress .github

format: .venv/dev.stamp  ## let ruff lay out the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

formal:  ## the theorem, checked by Coq, with nothing assumed (needs coqc; Debian's package is coq)
	sh docs/proofs/check.sh

docs: .venv/dev.stamp  ## the site, in site/; every figure and number on it is computed now
	NO_MKDOCS_2_WARNING=1 $(ONE_THREAD) $(BIN)/mkdocs build --strict
	@echo "The site is in site/: open site/index.html, or run make serve."

serve: .venv/dev.stamp  ## the site on this machine, rebuilt when a page changes
	NO_MKDOCS_2_WARNING=1 $(ONE_THREAD) $(BIN)/mkdocs serve

picture: .venv/run.stamp  ## the picture in README.md, from the demo's own result
	$(ONE_THREAD) $(BIN)/python docs/picture.py

bench: .venv/run.stamp  ## what the claims about speed rest on
	$(BIN)/python benchmarks/run.py $(ARGS)
	$(ONE_THREAD) $(BIN)/python benchmarks/compare.py
	$(BIN)/python benchmarks/analysis.py
	$(BIN)/python benchmarks/exact.py

build: .venv/dev.stamp  ## wheel and sdist, in dist/
	rm -rf dist
	$(BIN)/python -m build --outdir dist .

clean:  ## forget everything that the commands above made
	rm -rf .venv dist site whyactivate-demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No Python found: install Python 3.11, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v[:2] >= (3, 11) or sys.exit("whyactivate needs Python 3.11 or later; $(PYTHON) is %d.%d: run make PYTHON=/path/to/python3.11" % v[:2]); v[:2] in ((3, 11), (3, 13)) or print("whyactivate was tried on Python 3.11 and 3.13; this is %d.%d" % v[:2])'
	$(PYTHON) -m venv .venv

# The stamps make a second call quick, and a changed requirement reinstall.
.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	@touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(PIP) -e ".[dev,docs]"
	@touch $@ .venv/run.stamp
