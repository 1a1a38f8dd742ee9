PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo dev test lint types check build clean

demo: $(VENV)/.core           ## install the core (no torch) and predict the bundled clips
	$(BIN)/voxaffect demo

test: $(VENV)/.dev lint types check build    ## everything that CI runs

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

check: $(VENV)/.dev
	$(BIN)/python -m pytest

build: $(VENV)/.dev
	$(BIN)/python -m build --no-isolation --wheel --outdir build/dist .
	$(BIN)/python -m zipfile -l build/dist/*.whl | tail -n 3

dev: $(VENV)/.dev             ## install everything that development needs

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	$(PIP) --editable '.[dev]'
	$(PIP) hatchling
	touch $@

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
