# Every command of the project; `make` alone lists them. Needs Python 3.10 or newer, pip and cargo.
#
# Nothing is done twice: stamps are named after the content of what they depend on, so a second run
# calls neither pip nor cargo for what is there, whatever the clock says, and needs no network.

PYTHON ?= python3
TAG := $(shell $(PYTHON) -c 'import sys; print(sys.implementation.cache_tag)' 2>/dev/null)
# An interpreter of your choice gets an environment of its own: make test PYTHON=python3.12
VENV ?= .venv$(if $(filter file,$(origin PYTHON)),,-$(TAG))

BIN := $(VENV)/bin
RUN := $(BIN)/python
CARGO ?= cargo
# For compiling outside of maturin, which finds its interpreter by itself.
WITH_PYTHON := PYO3_PYTHON=$(abspath $(RUN))
LOOM_PREEMPTIONS ?= 2
ARGS ?=

PYTHON_FOLDERS := python tests benches examples
TYPED := python/oxtask examples/*.py $(wildcard tests/typing/*.py)
ALLOWLIST := $(wildcard tests/typing/stubtest.txt)
FLOOR := --manifest-path benches/floor/Cargo.toml
EXAMPLES := syntax_nodes stdlib_lines retries async_fan_out streaming nested cached transactions

# What the package needs and how it is compiled stands in pyproject.toml above the settings of tools.
PACKAGE := $(shell sed '/^\[tool\.ruff\]/,$$d' pyproject.toml | cksum | tr -d ' ')
CORE_SOURCES := Cargo.toml Cargo.lock $(sort $(shell find rust -name '*.rs' -o -name Cargo.toml))
SOURCES := $(shell cksum $(CORE_SOURCES) | cksum | tr -d ' ')
TOOLS := $(VENV)/stamps/tools-$(PACKAGE)
BENCH_TOOLS := $(VENV)/stamps/bench-$(PACKAGE)
# Environments of one Python version share the extension in python/oxtask: who built it last has the
# only stamp.
CORE := target/stamps/$(TAG)/$(PACKAGE)-$(SOURCES)$(subst /,-,$(VENV))

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(TOOLS) $(CORE) ## Make .venv with the package, compiled for release, and the tools

.PHONY: demo
demo: setup ## Run the main job: survey the standard library (ARGS='--folder src' for yours)
	$(RUN) examples/syntax_nodes.py $(ARGS)

.PHONY: test
test: setup test-rust test-python ## Set everything up and run all tests

.PHONY: build
build: $(CORE) ## Compile the extension again, if its sources have changed

.PHONY: test-rust
test-rust: ## Run the tests of the Rust core
	$(CARGO) test --locked --package oxtask-core

.PHONY: test-python
test-python: setup ## Run the Python tests (ARGS='-k stream' for some)
	$(BIN)/pytest $(ARGS)

.PHONY: format
format: $(TOOLS) ## Format all code
	$(CARGO) fmt --all
	$(CARGO) fmt $(FLOOR)
	$(BIN)/ruff format $(PYTHON_FOLDERS)
	$(BIN)/ruff check --fix-only --quiet $(PYTHON_FOLDERS)

.PHONY: lint
lint: lint-rust lint-python types ## Check format, lints, types and stubs

.PHONY: lint-rust
lint-rust: $(TOOLS)
	$(CARGO) fmt --all --check
	$(CARGO) fmt $(FLOOR) --check
	$(WITH_PYTHON) $(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(WITH_PYTHON) $(CARGO) clippy --locked $(FLOOR) --target-dir target/floor -- -D warnings

.PHONY: lint-python
lint-python: $(TOOLS)
	$(BIN)/ruff format --check $(PYTHON_FOLDERS)
	$(BIN)/ruff check $(PYTHON_FOLDERS)

.PHONY: types
types: setup
	$(BIN)/mypy $(TYPED)
	$(BIN)/basedpyright --pythonpath $(RUN)
	PYTHONPATH=python $(BIN)/basedpyright --pythonpath $(RUN) --verifytypes oxtask --ignoreexternal
	$(BIN)/stubtest oxtask._core $(if $(ALLOWLIST),--allowlist $(ALLOWLIST))

.PHONY: docs
docs: setup ## Run the examples in docstrings, README.md and docs/
	$(BIN)/pytest --doctest-modules python/oxtask tests/test_docs.py

.PHONY: examples
examples: setup ## Run all examples
	for name in $(EXAMPLES); do echo "--- $$name"; $(RUN) examples/$$name.py || exit 1; done

.PHONY: loom
loom: ## Explore the loom models of the core (LOOM_PREEMPTIONS=3 for more)
	RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=$(LOOM_PREEMPTIONS) \
	CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
	$(CARGO) test --locked --release --package oxtask-core --target-dir target/loom --test loom $(ARGS)

.PHONY: soak
soak: setup ## Run the long tests that the default run leaves out
	$(BIN)/pytest -m soak --timeout 3600 $(ARGS)

.PHONY: bench
bench: setup $(BENCH_TOOLS) ## Compare speed with plain loops and other libraries, about five minutes
	$(RUN) benches/compare.py $(ARGS)

.PHONY: bench-quick
bench-quick: setup $(BENCH_TOOLS) ## Run every benchmark on small sizes: are the answers right?
	$(RUN) benches/compare.py --quick
	$(BIN)/pytest benches --benchmark-disable -o python_files='bench_*.py'

.PHONY: wheel
wheel: $(TOOLS) ## Build a wheel for this Python into dist/
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin build --release --locked --out dist \
		--interpreter $(abspath $(RUN))

.PHONY: check
check: lint test-rust loom test-python docs bench-quick examples ## All that must pass before a change lands

.PHONY: clean
clean: ## Remove all that was built or installed here
	rm -rf .venv* target dist .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f python/oxtask/_core.*.so
	find $(PYTHON_FOLDERS) -name __pycache__ -type d -prune -exec rm -rf {} +

$(TOOLS):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and sys.version)' || \
		{ echo '$(PYTHON) is not Python 3.10 or newer: name one, make setup PYTHON=python3.12'; exit 1; }
	rm -rf $(@D)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade 'pip>=25.1'
	$(RUN) -m pip install --quiet --group dev
	@mkdir -p $(@D) && touch $@

$(BENCH_TOOLS): $(TOOLS)
	$(RUN) -m pip install --quiet --group bench
	@mkdir -p $(@D) && touch $@

ifeq ($(wildcard python/oxtask/_core.$(TAG)*),)
.PHONY: $(CORE)
endif
$(CORE): $(TOOLS)
	rm -rf $(@D)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --locked
	@mkdir -p $(@D) && touch $@
