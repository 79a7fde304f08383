# Every target sets itself up: a virtual environment in .venv, and what it needs in it.
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := demo

.PHONY: demo quick test oldest dist lint types bench docs clean

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("argen needs Python 3.11 or newer: name one, as in make demo PYTHON=python3.12")'
	$(PYTHON) -m venv .venv || { $(PYTHON) -m pip install virtualenv && $(PYTHON) -m virtualenv .venv; }

# One stamp per extra, so that a target installs what it needs and no more.
.venv/.with-%: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[$*]"
	@touch $@

.venv/.installed: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

demo: .venv/.installed ## from simulated counts to network, results folder and report
	$(BIN)/python examples/demo.py

# Files stay whole, so that what a file simulates and fits once is done by one worker.
PYTEST := $(BIN)/python -m pytest -n auto --dist loadscope

quick: .venv/.with-test ## after every edit: no rates over many screens, processes, browser, nor whole ways through
	$(PYTEST) -m "not rates and not process and not browser and not whole"

test: .venv/.with-test
	$(PYTEST)

# Apart from .venv, and by uv, as pip cannot choose the oldest versions.
OLDEST := .venv-oldest/bin/python
.venv-oldest/.installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	$(OLDEST) -m pip install --quiet --disable-pip-version-check uv
	$(OLDEST) -m uv pip install --quiet --python $(OLDEST) --resolution lowest-direct -e ".[test]"
	touch $@

oldest: .venv-oldest/.installed ## the tests of quick with the oldest versions of what argen depends on
	$(OLDEST) -m pytest -n auto --dist loadscope -m "not rates and not process and not browser and not whole"

# With a smoke fit, as users have it: the wheel alone, away from the sources.
EMPTY := build/empty
dist: .venv/.with-dist ## wheel and sdist, checked, and a fit with the wheel in an empty environment
	rm -rf dist $(EMPTY)
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*
	$(BIN)/python -m venv $(EMPTY)
	$(EMPTY)/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd $(EMPTY) && bin/argen simulate --out screen.h5ad --hide X7,X8
	cd $(EMPTY) && bin/argen fit screen.h5ad --target perturbation --control non-targeting \
		--library-size library_size --covariates L --out results
	cd $(EMPTY) && du -sm lib/python*/site-packages

lint: .venv/.with-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.with-lint
	$(BIN)/mypy

bench: .venv/.with-bench
	$(BIN)/python benchmarks/start.py
	$(BIN)/python benchmarks/first_fit.py --functions
	$(BIN)/python benchmarks/reading.py
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/speed.py
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python benchmarks/speed.py --more-covariates
	$(BIN)/python benchmarks/limit.py
	$(BIN)/python benchmarks/scaling.py
	$(BIN)/python benchmarks/threads.py
	$(BIN)/python benchmarks/genome_wide.py
	$(BIN)/python benchmarks/null_calibration.py

docs: .venv/.with-docs
	$(BIN)/sphinx-build -W --keep-going -j auto -b html docs docs/_build/html

clean:
	rm -rf .venv .venv-oldest build dist docs/_build demo_results
