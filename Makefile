# Latchboard. `make demo` shows it, `make test` proves it; every target does its own set-up.
#
# Needed: Python 3.11 or newer as python3 (no ensurepip, no venv package), pip, git, make.
# uv comes from PyPI into .tools/, the locked dependencies into .venv/. Nothing is written elsewhere but uv's cache.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast coverage lint format bench soak tools clean
.PHONY: agents-start agents-stop agents-restart agents-status

UV_VERSION := 0.13.8
# The fast lane computes: a worker for each core. Half of the time of the rest is waiting: two more.
CORES := $(shell nproc 2>/dev/null || echo 2)
FAST_WORKERS ?= $(CORES)
WORKERS ?= $(shell echo $$(($(CORES) + 2)))

# The first Python that is new enough; looked for only when something must be set up. An activated .venv stands aside for the
# Python it was made from: it has no pip, and must not be made from itself.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.version_info >= (3, 11) or sys.exit(1); from importlib.util import find_spec; \
	print(sys.executable if find_spec("pip") else sys._base_executable)' 2>/dev/null && break; done)

export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := .venv
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE

UV := .tools/bin/uv
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
NEWEST_ETCD := $(CURDIR)/.tools/etcd-newest/usr/bin/etcd
# A moved or copied checkout must not run the sources of the old one: the stamp carries the folder's checksum.
STAMP := .venv/.synced-$(firstword $(shell pwd | cksum))

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { sub(/^agents-start .*/, "agents-...", $$1); printf "  make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Make .venv (done by every other target too)

.tools/.uv-$(UV_VERSION):
	@test -n "$(PYTHON)" || { echo "Latchboard needs Python 3.11 or newer: put it on PATH as python3, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	rm -rf .tools
	"$(PYTHON)" -m venv --without-pip .tools
	"$(PYTHON)" -m pip --python .tools/bin/python install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(STAMP): .tools/.uv-$(UV_VERSION) pyproject.toml uv.lock
	@test -n "$(PYTHON)" || { echo "Latchboard needs Python 3.11 or newer: put it on PATH as python3, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	$(UV) sync --frozen --quiet --compile-bytecode --python "$(PYTHON)"
	@rm -f .venv/.synced-*
	@touch $@

demo: $(STAMP) ## Eight agents edit the same files, without Latchboard and with it (under a minute)
	@$(BIN)/latchboard demo

test: $(STAMP) tools ## All tests: the fast lane first, then the rest
	$(PYTEST) -m fast -n $(FAST_WORKERS) --dist loadfile
	$(PYTEST) -m "not fast" -n $(WORKERS) --dist loadgroup

test-fast: $(STAMP) ## Rules, services, memory store, tidiness (under 30 s)
	$(PYTEST) -m fast -n $(FAST_WORKERS) --dist loadfile

coverage: $(STAMP) ## Every branch of the rules is walked by a test of the fast lane
	$(PYTEST) -m "fast and not hypothesis" tests/rules tests/vectors --cov

lint: $(STAMP) ## ruff, mypy --strict, import-linter
	@status=0; for check in "ruff check" "ruff format --check" "mypy --strict src" "lint-imports --no-logo"; do \
		echo "$$check"; $(BIN)/$$check || status=1; done; exit $$status

format: $(STAMP) ## Rewrite the sources as ruff likes them
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(STAMP) ## Measure; ratios and a JSON result
	$(BIN)/python -m benchmarks

soak: $(STAMP) tools ## Every test with the heavy sweeps (an hour or more)
	LATCHBOARD_SOAK=1 $(PYTEST) -m "soak or not soak" --timeout 3600 -n $(WORKERS) --dist loadgroup
	ENGINE_FOR_TESTS=etcd $(PYTEST) tests/services -n $(WORKERS) --dist loadfile
	@test ! -x $(NEWEST_ETCD) || { echo "on the newest etcd:"; ETCD_FOR_TESTS=$(NEWEST_ETCD) LATCHBOARD_SOAK=1 \
		$(PYTEST) -m "soak or not soak" tests/store/etcd tests/machines/test_etcd.py tests/histories/test_etcd.py \
		--timeout 3600 -n $(WORKERS) --dist loadgroup; }

# ROLE="builder tester" names roles; ROOT another project than this one.
agents-start agents-stop agents-restart agents-status: $(STAMP) ## Start, stop, restart, look at workers: make agents-start ROLE=builder
	@$(BIN)/latchboard agents $(@:agents-%=%) $(ROLE) --root "$(or $(ROOT),.)"

tools: ## Install what some tests need and apt-get may bring (else these tests are skipped, each by name)
	@.ci/tools

clean: ## Remove everything that the targets made
	rm -rf .tools .venv build dist .benchmarks .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
