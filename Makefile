.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LAB := $(BIN)/python -m tests.lab
DEMO ?= demo
# Two at a time, each file's tests one after the other: nodes wait more than they compute.
TWO := --numprocesses 2 --dist loadfile
# Whatever the caller's environment says: without it every process compiles all of the program, and pytest every test.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help dev fmt check test test-fast lab demo golden bench sweep dist clean

help: ## Show what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(BIN)/.stamp: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --group dev
	@touch $@

dev: $(BIN)/.stamp ## Make the virtual environment with everything development needs

fmt: dev ## Format the code, and README's help blocks
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m tests.help_blocks --write

check: dev ## Format, lint, types, layers, shell scripts, README's help blocks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck templates/scripts/*.sh $(wildcard vagrant/*.sh) .ci/run
	$(BIN)/python -m tests.help_blocks --check

test: dev ## Every test, on real nodes too (root; the first run builds Kubernetes)
	$(BIN)/pytest $(TWO)

test-fast: dev ## The tests that need no node
	$(BIN)/pytest $(TWO) -m "not lab"

lab: dev ## Three fresh nodes to try things on
	$(LAB) up --nodes 3

demo: dev ## A fresh node, `bootstrap init` on it, and a Ready cluster to look at
	@sh tests/lab/demo.sh $(BIN) $(DEMO)

golden: dev ## Write the golden trees again: read the diff
	$(BIN)/python -m tests.golden_tree

bench: dev ## Time it side by side with kubeadm
	$(BIN)/python -m tests.bench

sweep: dev ## Every kill point on real nodes; long
	$(BIN)/python -m tests.sweep

dist: dev ## Build wheel and sdist
	$(BIN)/python -m build

clean: ## Remove what was built; the lab's cache and labs stay
	rm -rf dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache $(VENV)
