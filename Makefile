# `make` alone prints the targets. Each of them makes and installs .venv if it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs/$(PRESET)
PRESET ?= paper
DATA ?=
MODEL ?=

BIN := $(VENV)/bin
# DeepSpeed looks for ninja on the path.
export PATH := $(abspath $(BIN)):$(PATH)
INSTALLED := $(VENV)/.installed
INPUTS = $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)")

.DEFAULT_GOAL := help
.PHONY: help venv demo table1 test lint ui clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "variables: PRESET=$(PRESET) DATA=$(DATA) MODEL=$(MODEL) RUNS=$(RUNS) PYTHON=$(PYTHON) VENV=$(VENV)"

venv: $(INSTALLED) ## the virtual environment, with xalign and what its tests need

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@

demo: $(INSTALLED) ## the experiment in miniature, offline, within minutes: align, fine-tune, transfer, Table 1
	$(BIN)/xalign grid run table1 --preset demo --runs runs/demo --workers 2
	$(BIN)/xalign report table1 --runs runs/demo
	@echo "The table is runs/demo/report/table1.csv (.md, .tex). Next:"
	@echo "  make ui RUNS=runs/demo                                the runs in MLflow, at http://127.0.0.1:5000"
	@echo "  $(BIN)/xalign grid status table1 --preset demo --runs runs/demo"
	@echo "  $(BIN)/xalign doctor --data DATA --model MODEL        what your own data and model still lack"
	@echo "  make table1 PRESET=paper DATA=... MODEL=...           the paper's table"

table1: $(INSTALLED) ## Table 1 on your data: make table1 PRESET=paper DATA=... MODEL=... RUNS=...
	$(BIN)/xalign grid run table1 --preset "$(PRESET)" $(INPUTS) --runs "$(RUNS)"
	$(BIN)/xalign report table1 --runs "$(RUNS)"

test: $(INSTALLED) ## the test suite
	$(BIN)/python -m pytest

lint: $(INSTALLED) ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy xalign

ui: $(INSTALLED) ## MLflow's pages about the runs in RUNS, on this machine alone: http://127.0.0.1:5000
	$(BIN)/xalign mlflow ui --runs "$(RUNS)"

clean: ## remove the environment and caches; runs stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find xalign tests -name __pycache__ -type d -prune -exec rm -rf {} +
