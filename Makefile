# `make` lists the targets. Everything is installed into .venv, exactly as requirements/ names it.

PYTHON ?= python3
JOBS ?= logical
SECONDS ?= 600
TIMES ?= 10
SEED ?=
BIN := .venv/bin
UV := $(BIN)/uv pip
WHEEL_BIN := .venv/wheel/bin
NAME = $(shell sed -n '/^name = /{s/^name = "\([^"]*\)".*/\1/p;q}' pyproject.toml)
PYTEST := $(BIN)/pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=worksteal --inline-snapshot=disable
COVERED := $(PYTEST) --cov --cov-report=term-missing:skip-covered
export UV_PYTHON_DOWNLOADS := never
# The tests start hundreds of processes, which would compile every module again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types mypy pyright floors unit attack covered wheel fuzz stress format bench lock audit sbom clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/run ## watch a small real model call a function
	@$(BIN)/python examples/01_vat.py

test: check ## every check: those of `make check`, all tests with all branches covered, and the wheel
	@$(MAKE) --no-print-directory --jobs=2 covered wheel oldpip

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

attack: .venv/dev ## the tests that hold the promises of SECURITY.md, and the fuzzers with fixed inputs
	$(PYTEST) -m attack

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

bench: .venv/dev ## ratios to a loop written by hand, against the promises in docs/performance.md
	$(BIN)/python tests/benchmarks/bench.py

lock: .venv/uv ## renew the locks in requirements/
	for name in uv run dev oldpip audit; do \
	  $(UV) compile --quiet --upgrade --universal --generate-hashes --no-header --no-annotate \
	    --python-version 3.11 --no-emit-package $(NAME) requirements/$$name.in -o requirements/$$name.txt || exit 1; \
	done

# The old versions of pip in oldpip.txt have known weaknesses, and only a test runs them.
audit: .venv/audit/ready ## ask the index for known weaknesses of what the locks name
	@for name in uv run dev audit; do \
	  echo "requirements/$$name.txt:" && \
	  .venv/audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements/$$name.txt || exit 1; \
	done

sbom: .venv/audit/ready ## write requirements/sbom.cdx.json, which the wheel holds: what it needs, as the locks have it
	sed -n 's/^\([^ ]*==[^\]*\) \\$$/\1/p' requirements/dev.txt >.venv/audit/constraints.txt
	$(UV) compile --quiet --universal --no-header --no-annotate --python-version 3.11 --no-emit-package $(NAME) \
	  --extra packs --extra aiohttp --constraint .venv/audit/constraints.txt pyproject.toml -o .venv/audit/needed.txt
	PYTHONWARNINGS=ignore .venv/audit/bin/cyclonedx-py requirements .venv/audit/needed.txt --pyproject pyproject.toml \
	  --mc-type library --output-reproducible --of JSON -o requirements/sbom.cdx.json
	@$(BIN)/python -c '$(DROP_ADDRESSES)' requirements/sbom.cdx.json

.venv/audit/ready: .venv/uv requirements/audit.txt
	@echo "Making .venv/audit, for pip-audit and cyclonedx-bom (40 MB)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/audit
	@$(UV) install --quiet --python .venv/audit/bin/python --require-hashes -r requirements/audit.txt
	@touch $@

clean: ## remove what was installed and built
	rm -rf .venv

# pip and the locks' versions, without their hashes: what a file of constraints has can't be asked of a wheel. The test
# holds what was installed to the hashes, and says why nothing was.
OLDPIP := .venv/oldpip/bin/python -m pip --disable-pip-version-check

.PHONY: oldpip
oldpip: .venv/oldpip/ready ## the wheel with all packs, by the oldest pip that its Python came with
	rm -rf .venv/oldpip/dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir .venv/oldpip/dist
	$(OLDPIP) uninstall --yes $(NAME) >.venv/oldpip/log 2>&1
	PIP_CERT="$${PIP_CERT:-$$($(BIN)/python -c '$(FIND_CERTIFICATES)')}" $(OLDPIP) install --no-compile --progress-bar off --constraint .venv/oldpip/constraints.txt --report .venv/oldpip/report \
	  "$$(ls .venv/oldpip/dist/*.whl)[packs]" >>.venv/oldpip/log 2>&1 || true
	AGENTLOOP_OLDPIP=.venv/oldpip $(BIN)/pytest tests/test_wheel_oldpip.py

.venv/oldpip/ready: .venv/dev requirements/oldpip.txt
	@echo "Making .venv/oldpip, for the packages of all tool packs once more (60 MB)"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv/oldpip
	@$(UV) install --quiet --python .venv/oldpip/bin/python --require-hashes -r requirements/oldpip.txt
	@sed -n 's/^\([^ ]*==[^\]*\) \\$$/\1/p' requirements/dev.txt >.venv/oldpip/constraints.txt
	@touch $@

# The stamps: uv is there, in an environment of the Python that the file names; the demo's packages are; the tests'
# packages are, which hold the demo's. Sizes are those of the downloads for Linux.

.venv/uv: requirements/uv.txt
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. $(NAME_ANOTHER)" >&2; exit 1; }
	@$(PYTHON) -c '$(CHECK_PYTHON)' "$(NAME_ANOTHER)"
	@echo "Making .venv, and installing uv into it, which installs the rest (17 MB)"
	@$(PYTHON) -m venv --clear .venv
	@$(INSTALL_UV) --retries 0 2>/dev/null || PIP_CERT="$$($(BIN)/python -c '$(FIND_CERTIFICATES)')" $(INSTALL_UV)
	@echo $(PYTHON) > $@

.venv/run: .venv/uv requirements/run.txt pyproject.toml
	@rm -f .venv/dev
	@echo "Installing agentloop, llama.cpp and a model of 135 million parameters (130 MB); this happens once"
	@$(call install,run)
	@touch $@

.venv/dev: .venv/uv requirements/dev.txt pyproject.toml
	@echo "Installing what the tests need: the demo's packages, those of all tool packs, and the checkers (290 MB)"
	@$(call install,dev)
	@touch .venv/run $@

# `sync` takes away what no lock names, the project itself included, so the project comes second.
define install
$(UV) sync --quiet --python $(BIN)/python --require-hashes requirements/uv.txt requirements/$(1).txt && \
$(UV) install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
endef

# A Python that is named and is not that of .venv gets a new .venv.
ifneq ($(filter command environment,$(firstword $(origin PYTHON))),)
ifneq ($(shell cat .venv/uv 2>/dev/null),$(PYTHON))
.PHONY: .venv/uv
endif
endif

CHECK_PYTHON := import sys; sys.version_info >= (3, 11) or sys.exit( \
  "agentloop needs Python 3.11 or later; this is %s. %s" % (sys.version.split()[0], sys.argv[1]))
NAME_ANOTHER = Name another with \`make $(firstword $(MAKECMDGOALS) demo) PYTHON=python3.12\`.

# cyclonedx-py adds the address of an index to each package; which index a user has is not known here.
DROP_ADDRESSES := import json, sys; drop = lambda each: {name: each[name] for name in each if name != "externalReferences"}; \
  bill = json.load(open(sys.argv[1]), object_hook=drop); \
  open(sys.argv[1], "w").write(json.dumps(bill, indent=2) + "\n")

# As long as pip has a list of certificates of its own, up to 24.1, that of the system is tried where its own fails.
INSTALL_UV = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
FIND_CERTIFICATES := import ssl; paths = ssl.get_default_verify_paths(); print(paths.cafile or paths.capath or "")

# uv has one too, and fails where it is told to use the system's and there are none.
UV_SYSTEM_CERTS ?= $(if $(wildcard /etc/ssl/cert.pem /etc/ssl/certs/* /etc/pki/tls/certs/*),true,false)
export UV_SYSTEM_CERTS
