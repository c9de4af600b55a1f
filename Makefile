# `make` says what there is. Nothing but Python 3.11 or newer and make need be there before.
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/.ready
CODE   := traefik_bg tests integration sample scripts/testbed
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help up down venv check format docs laws integration test bench clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  ARGS=… is passed on to pytest, or to the benchmark."

up: ## start Traefik, traefik-bg and the sample app; install Docker if it is missing
	@scripts/up

down: ## stop them, and remove the apps' replicas
	@scripts/down

venv: $(READY) ## make .venv with the project and its tools

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer with venv is needed; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "▸ Making .venv …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install -qq --disable-pip-version-check --editable '.[dev]'
	@touch $@

check: $(READY) ## format, lint, types, layers, unit tests: no Docker needed
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests -m "not slow" $(ARGS)

format: $(READY) ## put the code in its format, and mend what lint can mend
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

docs: $(READY) ## write into the documents what they take from the code
	$(BIN)/python -m tests.documents

laws: $(READY) ## the planner's laws, and that they notice every missing rule
	$(BIN)/pytest tests/core/test_laws.py tests/core/test_adoption_laws.py tests/core/test_teeth.py $(ARGS)

integration: $(READY) ## real Docker and real Traefik in a world of their own (Linux, root)
	scripts/testbed $(BIN)/pytest integration $(ARGS)

test: check laws integration ## everything: what CI runs

bench: $(READY) ## measure, in the same kind of world
	scripts/testbed $(BIN)/python -m integration.bench $(ARGS)

clean: ## remove what these targets made in this folder
	rm -rf .venv .*_cache .hypothesis .coverage htmlcov dist ./*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
