# `make` lists the targets. Everything is installed into .venv, exactly as requirements/ names it.

PYTHON ?= python3
JOBS ?= logical
SECONDS ?= 600
TIMES ?= 10
SEED ?=
BIN := .venv/bin
UV := $(BIN)/uv pip
WHEEL_BIN := .venv/wheel/bin
PYTEST := $(BIN)/pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=worksteal --inline-snapshot=disable
COVERED := $(PYTEST) --cov --cov-report=term-missing:skip-covered
export UV_PYTHON_DOWNLOADS := never
# The tests start hundreds of processes, which would compile every module again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types mypy pyright floors unit covered wheel fuzz stress format bench lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/run ## watch a small real model call a function
	@$(BIN)/python examples/01_vat.py

test: check ## every check: those of `make check`, all tests with all branches covered, and the wheel
	@$(MAKE) --no-print-directory --jobs=2 covered wheel

check: .venv/dev ## what takes seconds: format, lint, types and floors
	@$(MAKE) --no-print-directory --jobs=2 $(filter --output-sync,$(.FEATURES:%=--%)) lint mypy pyright floors

lint: .venv/dev ## ruff: format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: mypy pyright ## mypy and pyright, both strict

mypy: .venv/dev
	$(BIN)/mypy

pyright: .venv/dev
	$(BIN)/pyright

floors: .venv/dev ## import-linter: who may import whom
	$(BIN)/lint-imports

unit: .venv/dev ## the tests alone, without coverage
	$(PYTEST)

covered: .venv/dev
	$(COVERED)

wheel: .venv/dev ## what the built wheel holds, and that it works where the repository is not
	rm -rf .venv/dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir .venv/dist
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .venv/wheel
	$(UV) install --quiet --python $(WHEEL_BIN)/python --require-hashes -r requirements/dev.txt
	$(UV) install --quiet --python $(WHEEL_BIN)/python --no-deps .venv/dist/*.whl
	PYTHONSAFEPATH=1 AGENTLOOP_WHEEL=$$(ls .venv/dist/*.whl) $(WHEEL_BIN)/pytest --quiet -p no:cacheprovider tests/test_wheel.py

fuzz: .venv/dev ## the property tests with random inputs, until SECONDS=600 are over or one fails
	$(BIN)/python tests/fuzz.py $(SECONDS)

stress: .venv/dev ## all tests TIMES=10 times in random order, beside four busy loops; SEED=… repeats an order
	$(BIN)/python tests/stress.py $(TIMES) "$(SEED)" $(COVERED)

format: .venv/dev ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev ## ratios to a loop written by hand, against what the README promises
	$(BIN)/python tests/benchmarks/bench.py

lock: .venv/uv ## renew the locks in requirements/
	for name in uv run dev; do \
	  $(UV) compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate \
	    --python-version 3.11 --no-emit-package agentloop requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

clean: ## remove what was installed and built
	rm -rf .venv

# The stamps: uv is there; the demo's packages are; the tests' packages are, which hold the demo's.

.venv/uv: requirements/uv.txt
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	touch $@

.venv/run: .venv/uv requirements/run.txt pyproject.toml
	rm -f .venv/dev
	$(call install,run)
	touch $@

.venv/dev: .venv/uv requirements/dev.txt pyproject.toml
	$(call install,dev)
	touch .venv/run $@

# `sync` takes away what no lock names, the project itself included, so the project comes second.
define install
	$(UV) sync --quiet --python $(BIN)/python --require-hashes requirements/uv.txt requirements/$(1).txt
	$(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
endef
