# Everything goes through here, also in CI. `make demo` and `make test` need
# nothing but Python >= 3.11 and a C++ compiler; see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Arguments for the program behind a target: make test ARGS="-k buffer".
ARGS ?=
# Which module of benchmarks/ `make bench` runs.
BENCH ?= engine

# Found when a recipe asks for it.
NATIVE_CODE = $(shell find native tests/native -name '*.cpp' -o -name '*.h')

.DEFAULT_GOAL := help
.PHONY: help setup native panel demo test lint typecheck check fmt sanitize bench bench-peers clean \
	frontend-types

help:
	@echo "make demo         install and show an answer from a real model"
	@echo "make test         all tests, the real model included"
	@echo "make setup        virtual environment, native engine, everything for development"
	@echo "make panel        the web admin panel, built with npm"
	@echo "make lint         ruff, clang-format, clang-tidy, import contracts, flake8-async;"
	@echo "                  Biome and tsc for the admin panel"
	@echo "make typecheck    mypy --strict"
	@echo "make check        lint, typecheck and test"
	@echo "make fmt          formats the code"
	@echo "make frontend-types  the admin panel's message types, from the structs in paddler/messages"
	@echo "make sanitize     native tests under AddressSanitizer and ThreadSanitizer"
	@echo "make bench        benchmarks against llama-server (built by make bench-peers)"

setup: $(VENV)/.installed-dev native panel

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("Paddler needs Python 3.11 or newer: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What [build-system] of pyproject.toml requires, and what hatchling adds for
# editable installs. Installed here so that the
# build can run in the open, with its progress shown, before pip hides it.
$(VENV)/.build-tools: pyproject.toml $(VENV)/.created
	@echo "Installing build tools"
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables", sep="\n")' > $(VENV)/build-requirements.txt
	@$(BIN)/python -m pip install -qq --requirement $(VENV)/build-requirements.txt
	@touch $@

# Installs the extra after the hyphen; pip finds the engine finished in the cache.
$(VENV)/.installed-%: pyproject.toml $(VENV)/.build-tools
	@$(BIN)/python build.py extension > /dev/null
	@echo "Installing paddler[$*]"
	@$(BIN)/python -m pip install -qq --no-build-isolation --editable '.[$*]'
	@touch $@

# Nothing to do unless native/ changed: the result is looked up by content.
native: $(VENV)/.build-tools
	@$(BIN)/python build.py extension > /dev/null

# The same for the web admin panel; without npm this says so and goes on.
panel: $(VENV)/.build-tools
	@$(BIN)/python build.py panel > /dev/null

demo: $(VENV)/.installed-demo native
	@$(BIN)/paddler demo $(ARGS)

test: frontend-test
test: setup
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || echo "Tests of the admin panel are skipped: install Chromium (apt-get install chromium)"
	$(BIN)/python -m pytest $(ARGS)

lint: frontend-lint
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(NATIVE_CODE)
	@$(BIN)/python build.py tidy
	$(BIN)/lint-imports
	find paddler tests -name '*.py' -print0 | xargs -0 -n 40 -P "$$(getconf _NPROCESSORS_ONLN)" \
		$(BIN)/flake8-async --enable=ASYNC101,ASYNC102,ASYNC103,ASYNC104

typecheck: $(VENV)/.installed-dev
	$(BIN)/mypy

check: lint typecheck test

fmt: frontend-format
fmt: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(NATIVE_CODE)

# The source of the web admin panel has tools of its own, from npm: the scripts of
# its package.json. Without npm each says so, and the rest goes on.
FRONTEND := paddler/balancer/admin_panel/frontend
FRONTEND_TOOLS := $(if $(shell command -v npm),$(FRONTEND)/node_modules/.package-lock.json)

$(FRONTEND)/node_modules/.package-lock.json: $(FRONTEND)/package.json $(FRONTEND)/package-lock.json
	@echo "Installing the tools of the admin panel's source"
	@npm ci --prefix $(FRONTEND) --no-audit --no-fund --loglevel=error
	@touch $@

# What the panel reads and sends, in TypeScript, from the structs in paddler/messages.
frontend-types: $(VENV)/.installed-dev
	PYTHONPATH=native $(BIN)/python -m build_support.panel_types

frontend-%: $(FRONTEND_TOOLS)
	$(if $(FRONTEND_TOOLS),npm --prefix $(FRONTEND) run --silent $*,@echo "$@ is left out: install npm (Node.js 20.19 or newer)")

sanitize: setup
	$(BIN)/python tests/native/run_sanitized.py $(ARGS)

# They require other versions of packages than we do: an environment each.
VLLM_ROUTER := $(VENV)/peers/bin/vllm-router
$(VLLM_ROUTER): $(VENV)/.created
	$(BIN)/python -m venv $(VENV)/peers
	$(VENV)/peers/bin/python -m pip install -qq vllm-router

AIPERF := $(VENV)/aiperf/bin/aiperf
$(AIPERF): $(VENV)/.created
	$(BIN)/python -m venv $(VENV)/aiperf
	$(VENV)/aiperf/bin/python -m pip install -qq aiperf

bench-peers: $(VENV)/.build-tools $(VLLM_ROUTER) $(AIPERF)
	@$(BIN)/python build.py peers

bench: setup
	PADDLER_PEERS_DIR="$$($(BIN)/python build.py peers)" \
	PADDLER_VLLM_ROUTER="$(abspath $(wildcard $(VLLM_ROUTER)))" \
	PADDLER_AIPERF="$(abspath $(wildcard $(AIPERF)))" \
	$(BIN)/python -m benchmarks.$(BENCH) $(ARGS)

clean:
	rm -rf $(VENV) dist paddler/engine/_native*.so paddler/balancer/admin_panel/assets
	find paddler native tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
