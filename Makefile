# Everything a person or CI runs. Each target makes the environment it needs on first use; a second run skips that.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# The benchmarks have an environment of their own: their torchvision wheel expects a CUDA torch, and with it
# installed `import transformers` fails on a CPU torch.
BENCH_VENV ?= .venv-bench
WORKERS ?= 2
# Folder with pairs of a real bug and its repair, for `make bench`.
CASES ?=
# Folder with tinytorchtest, installed apart (pip install --no-deps --target); without it, it keeps its numbers.
SITE ?=
QUICK := not slow and not gpu and not browser

BIN := $(VENV)/bin
BENCH_BIN := $(BENCH_VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt
PINS := pyproject.toml constraints.txt

.PHONY: help demo test test-all lint format bench docs clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-demo ## Check GPT-2 (sound) and a digits classifier with a planted bug
	@PATH="$(abspath $(BIN)):$$PATH" bash tools/demo.sh

test: $(VENV)/.stamp-test ## Run the quick tests
	$(BIN)/python -m pytest -n $(WORKERS) -m "$(QUICK)"

test-all: $(VENV)/.stamp-test ## Run every test that needs neither a GPU nor a browser
	$(BIN)/python -m pytest -n $(WORKERS) -m "not gpu and not browser"

lint: $(VENV)/.stamp-lint ## Check style, types and import directions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/.stamp-lint ## Mend what ruff can mend by itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(BENCH_VENV)/.stamp-bench ## Run the benchmarks: cost, fans, repair, faults, peers, starts, symmetry, models; CASES=folder adds real bugs
	$(BENCH_BIN)/python -m benchmarks.overhead
	$(BENCH_BIN)/python -m benchmarks.duplicates
	$(BENCH_BIN)/python -m benchmarks.depth
	$(BENCH_BIN)/python -m benchmarks.fans
	$(BENCH_BIN)/python -m benchmarks.calibrate
	$(BENCH_BIN)/python -m benchmarks.coordinates
	$(BENCH_BIN)/python -m benchmarks.repair
	$(BENCH_BIN)/python -m benchmarks.faults
	$(BENCH_BIN)/python -m benchmarks.starts
	$(BENCH_BIN)/python -m benchmarks.symmetry
	$(BENCH_BIN)/python -m benchmarks.zoo.run
	$(BENCH_BIN)/python -m benchmarks.peers --faults $(if $(CASES),--cases "$(CASES)") $(if $(SITE),--site "$(SITE)")
	$(if $(CASES),$(BENCH_BIN)/python -m benchmarks.cases "$(CASES)",@echo "benchmarks.cases left out: say where the pairs of bug and repair are, CASES=folder")

docs: $(VENV)/.stamp-base ## Write docs/rules from the rules' own pages
	$(BIN)/python tools/rule_pages.py

clean: ## Remove environments, caches and build output
	rm -rf $(VENV) $(BENCH_VENV) build dist site .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info

# ------------------------------------------------------------------------------------------------ environments

%/.stamp-created:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "stepzero needs Python 3.11 or later; found: $(PYTHON). Set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "making $* (first run only)"
	"$(PYTHON)" -m venv $*
	@touch $@

$(VENV)/.stamp-base: $(VENV)/.stamp-created $(PINS)
	$(BIN)/python $(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.stamp-demo: $(VENV)/.stamp-created $(PINS)
	$(BIN)/python $(PIP_INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.stamp-test: $(VENV)/.stamp-created $(PINS)
	$(BIN)/python $(PIP_INSTALL) -e '.[demo,test]'
	@touch $@

$(VENV)/.stamp-lint: $(VENV)/.stamp-created $(PINS)
	$(BIN)/python $(PIP_INSTALL) -e '.[lint]'
	@touch $@

$(BENCH_VENV)/.stamp-bench: $(BENCH_VENV)/.stamp-created $(PINS)
	$(BENCH_BIN)/python $(PIP_INSTALL) -e '.[demo,bench]'
	$(BENCH_BIN)/python $(PIP_INSTALL) --no-deps torchvision timm diffusers peft accelerate importlib_metadata zipp psutil requests urllib3 charset-normalizer certifi idna
	@touch $@
