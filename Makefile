# The commands a person runs are the commands CI runs. Each makes its own environment in .venv if there is none.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT ?= runs/demo
BUDGET ?= laptop
LABS ?= labs/[0-9]*.py
BENCHES ?= losses views evaluation search fashion_encoders
PYTEST_FLAGS ?= --numprocesses=auto --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test lint types docs labs bench clean

help: ## Show this list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.installed ## Train three objectives on Fashion-MNIST, compare them, write one report.
	$(BIN)/python -m likewise.demo --out $(OUT) --budget $(BUDGET)

test: $(VENV)/.installed-dev ## Run all tests.
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

lint: $(VENV)/.installed-dev ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## Check types, strictly.
	$(BIN)/mypy

docs: $(VENV)/.installed-docs ## Build the documentation into site/, strictly.
	$(BIN)/mkdocs build --strict --quiet

labs: $(VENV)/.installed-dev ## Run all labs at the smallest budget, two at a time.
	printf '%s\n' $(LABS) | MPLBACKEND=Agg LIKEWISE_BUDGET=smoke OMP_NUM_THREADS=1 \
	  xargs -P 2 -n 1 $(BIN)/python -W ignore::UserWarning

bench: $(VENV)/.installed-benchmarks ## Run the benchmarks that need nothing else; takes about an hour on two cores.
	for bench in $(BENCHES); do $(BIN)/python benchmarks/$$bench.py || exit 1; done

clean: ## Remove the environment and what was built.
	rm -rf $(VENV) build dist site

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1). Expected Python 3.11 or later. Name one: make PYTHON=python3.12 …" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV) (some minutes the first time)"
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-%: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing into $(VENV), with what $* needs"
	$(PIP_INSTALL) -e '.[$*]'
	@touch $@ $(VENV)/.installed
