# `make` alone prints the targets. Each of them makes and installs .venv if it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV ?= .venv
RUNS ?= runs/$(PRESET)
PRESET ?= paper
WORKERS ?=
EXECUTOR ?=
SLURM ?=
DATA ?=
MODEL ?=
CONSTRAINTS ?=

BIN := $(VENV)/bin
# DeepSpeed looks for ninja on the path.
export PATH := $(abspath $(BIN)):$(PATH)
INSTALLED := $(VENV)/.installed
GRID := $(BIN)/xalign grid run
REPORT := $(BIN)/xalign report
WITH = --preset "$(PRESET)" $(if $(DATA),--data "$(DATA)") $(if $(MODEL),--model "$(MODEL)") --runs "$(RUNS)" \
  $(if $(WORKERS),--workers $(WORKERS)) $(if $(EXECUTOR),--executor $(EXECUTOR)) $(foreach option,$(SLURM),--slurm $(option))

.DEFAULT_GOAL := help
.PHONY: help venv demo table1 table2 tableC table3 figure1 stages languages compare tables figures report test test-full docs lint bench ui constraints audit clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-zA-Z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "variables: PRESET=$(PRESET) DATA=$(DATA) MODEL=$(MODEL) RUNS=$(RUNS) WORKERS=$(WORKERS) EXECUTOR=$(EXECUTOR) SLURM=$(SLURM) CONSTRAINTS=$(CONSTRAINTS)"

venv: $(INSTALLED) ## the virtual environment; CONSTRAINTS=constraints/cpu.txt: with exactly the tested versions

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(CONSTRAINTS),--constraint "$(CONSTRAINTS)") --editable ".[test]"
	@touch $@

demo: $(INSTALLED) ## the experiment in miniature, offline: align, fine-tune, transfer, measure, every table and figure
	$(GRID) all --preset demo --runs runs/demo --workers 2
	$(REPORT) all --runs runs/demo
	$(REPORT) table1 --runs runs/demo
	@echo "Open runs/demo/report/index.html: every table and figure, each with the command that makes it. Next:"
	@echo "  make ui RUNS=runs/demo                                the runs in MLflow: open the address that it prints"
	@echo "  $(BIN)/xalign grid status all --preset demo --runs runs/demo"
	@echo "  $(BIN)/xalign doctor --data DATA --model MODEL        what your own data and model still lack"
	@echo "  make report PRESET=paper DATA=... MODEL=...           the paper's tables and figures"

table1: $(INSTALLED) ## Table 1 on your data: make table1 PRESET=paper DATA=... MODEL=... RUNS=...
	$(GRID) table1 $(WITH)
	$(REPORT) table1 --runs "$(RUNS)"

table2: $(INSTALLED) ## Table 2: sentence retrieval of the 26 language pairs
	$(GRID) table2 $(WITH)
	$(REPORT) table2 --runs "$(RUNS)"

tableC: $(INSTALLED) ## appendix C: recall at 5 and at 10
	$(GRID) tableC $(WITH)
	$(REPORT) tableC-top5 --runs "$(RUNS)"
	$(REPORT) tableC-top10 --runs "$(RUNS)"

table3: $(INSTALLED) ## Table 3: gradients of tasks against those of alignment
	$(GRID) table3 $(WITH)
	$(REPORT) table3 --runs "$(RUNS)"
	$(REPORT) gradients --runs "$(RUNS)"

figure1: $(INSTALLED) ## Figure 1: embedding distances by layer
	$(GRID) figure1 $(WITH)
	$(REPORT) figure1 --runs "$(RUNS)"

stages: $(INSTALLED) ## everything again at the encoders that alignment kept on its way
	$(GRID) stages $(WITH)
	$(REPORT) stages --runs "$(RUNS)"

languages: $(INSTALLED) ## zero-shot classification in every language of the data, by script and family
	$(GRID) languages $(WITH)
	$(REPORT) languages --runs "$(RUNS)"

compare: $(INSTALLED) ## every method that was tested below RUNS in one table, gain and cost
	$(REPORT) compare --runs "$(RUNS)"

tables: table1 table2 tableC table3 ## every table

figures: figure1 table3 ## every figure

report: $(INSTALLED) ## everything: all runs that are missing, all tables and figures, and one page with them
	$(GRID) all $(WITH)
	$(REPORT) all --runs "$(RUNS)"

test: $(INSTALLED) ## the test suite, in two processes with a thread each
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-full: $(INSTALLED) ## the suite with every command ended at 20 random points by each of 3 signals, and more of the rest: over an hour
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=full $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --kills 20

docs: $(INSTALLED) ## the pages about commands, written anew from the command line and docs/examples.yaml
	$(BIN)/python docs/generate.py

bench: $(INSTALLED) ## measure ratios against what people use today, one line after the other, and draw them
	for name in alignment vocabulary masked_lm linear finetuning retrieval gradients figure; do \
	  $(BIN)/python benchmarks/$$name.py || exit 1; done

lint: $(INSTALLED) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy xalign

ui: $(INSTALLED) ## MLflow's pages about the runs in RUNS, on this machine alone; prints the address to open
	$(BIN)/xalign mlflow ui --runs "$(RUNS)"

constraints: ## write constraints/cpu.txt anew, from the newest versions that pyproject.toml allows
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --editable ".[test,statistical]"
	grep '^#' constraints/cpu.txt > build/cpu.txt
	build/constraints/bin/python -m pip freeze --all --exclude-editable --exclude xalign --exclude pip > build/frozen.txt
	sed 's/+cpu$$//' build/frozen.txt >> build/cpu.txt
	mv build/cpu.txt constraints/cpu.txt

audit: ## ask pip-audit about known faults of the pinned versions; needs a network
	@command -v pip-audit > /dev/null || { echo "pip-audit is not installed: pip install pip-audit"; exit 1; }
	pip-audit --no-deps --disable-pip --requirement constraints/cpu.txt

clean: ## remove the environment and caches; runs stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find xalign tests -name __pycache__ -type d -prune -exec rm -rf {} +
