# All that sameplace needs to be tried, checked and changed; Python 3.11 or newer and make are enough.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CONSTRAINED := --constraint constraints.txt

.PHONY: help demo check check-slow check-data format docs results benchmarks clean
.DELETE_ON_ERROR:

help:  ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.recognises  ## find the photos of a drawn town again, and write demo/map.html
	@$(BIN)/python scripts/demo.py demo

check: $(VENV)/.complete  ## what CI runs: formatting, lint, types, floors, tests, docs
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --timeout 600 --durations 20 --cov --cov-report=term:skip-covered

check-slow: $(VENV)/.complete  ## the tests that take longer: clean installations, crashes in a loop
	$(BIN)/python -m pytest -m slow

check-data: $(VENV)/.complete  ## the tests on real photos, in the folder that SAMEPLACE_DATA names
	$(BIN)/python -m pytest -m data

format: $(VENV)/.complete  ## bring the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(VENV)/.complete  ## write the generated pages of docs/ and the README's picture again
	$(BIN)/python scripts/docs.py
	$(BIN)/python scripts/picture.py

results: $(VENV)/.complete  ## evaluate every model and baseline on the photos that SAMEPLACE_DATA names, and write the tables
	$(BIN)/python scripts/results.py

benchmarks: $(VENV)/.complete  ## measure speed and memory, an hour and a half on a quiet machine with 12 GB of disk to spare, and write docs/performance.md
	OMP_NUM_THREADS=1 $(BIN)/python scripts/performance.py

clean:  ## drop the environment and everything else that was made
	rm -rf $(VENV) demo build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests -name __pycache__ -type d -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sameplace needs Python 3.11 or newer; say which: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# Installed again when what is wanted has changed; a complete environment recognises as well.
$(VENV)/.recognises: pyproject.toml constraints.txt | $(BIN)/python
	@test -e $(VENV)/.complete || echo "Installing sameplace into $(VENV), which takes a minute ..."
	@$(PIP) install $(CONSTRAINED) --editable .
	@touch $@

$(VENV)/.complete: pyproject.toml constraints.txt $(wildcard distributions/*/pyproject.toml) | $(BIN)/python
	@echo "Installing sameplace with everything for development into $(VENV), which takes some minutes ..."
	@$(PIP) install $(CONSTRAINED) --editable '.[train,export,fast,large,milvus,serve,transformers,heic,benchmarks,verify,dev]' --editable distributions/sameplace-vgg16-vlad --editable distributions/sameplace-efficientnet-lite0-netvlad --editable distributions/sameplace-xfeat
	@touch $@ $(VENV)/.recognises
