# Two commands are all a fresh machine needs: `make demo` and `make test`.
# Each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ARGS ?=

.PHONY: demo test lint format types bench fuzz clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; found %s. Name another one: make PYTHON=python3.12" % sys.version.split()[0])'
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh .ci/create-venv.sh
	@echo "Installing the pinned dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[sim,dev]'
	@touch $@

demo: $(READY)  ## A MORAI car, IoT Core and an application on this machine (ARGS="--headless --for 20s")
	@$(BIN)/morai-sim demo $(ARGS)

test: lint types  ## Lint, types, then every test
	@$(BIN)/pytest -q -n 2 $(ARGS)

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(READY)
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(READY)
	@$(BIN)/mypy agent simulator certs tests

bench: $(READY)  ## Figures beside their budgets
	@$(BIN)/python -m tests.bench $(ARGS)

fuzz: $(READY)  ## A million hostile inputs into every parser
	@$(BIN)/python -m tests.fuzz $(ARGS)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
