# levare's house: `make help` lists the targets. Needs Python 3.11 or newer, make, and git.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUNS := $(VENV)/.runs

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE  # tests start hundreds of processes, each of which would compile 300 modules anew
.PHONY: help .venv demo test check fmt wheel lock clean

help: ## this list
	@awk -F ':.*## ' '/^[.a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv: $(STAMP) ## the environment that the other targets use, with the versions of constraints.txt

checked = @$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("levare needs Python 3.11 or newer, and $(PYTHON) is %d.%d. Set PYTHON, as in: make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version_info[:2])'
ifneq ($(shell command -v uv),)
created = test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV)
install = uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable
else
created = test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
grouped = $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
install = $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable
endif

$(STAMP): pyproject.toml constraints.txt
	$(checked)
	$(created)
	$(grouped)
	$(install) '.[server,examples,report]' --group dev
	@touch $(RUNS) $@

# What runs, without what it takes to work on it: whoever only wants to see it waits half as long.
$(RUNS): pyproject.toml constraints.txt
	$(checked)
	$(created)
	$(install) '.[server]'
	@touch $@

demo: $(RUNS) ## everything on this machine, with a real training job; ARGS=--once ends when the job has ended
	$(BIN)/levare demo $(ARGS)

test: .venv ## all tests, or some: make test ARGS='tests/pure -k place'
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(if $(CI),-p tests.no_skips) $(ARGS)

check: .venv ## format, lint, types, import contracts and what bandit knows of, without changing a file
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml app beat levare worker

fmt: .venv ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: .venv ## dist/levare-*.whl, with the deployment inside
	$(BIN)/python -m build --wheel --no-isolation

lock: ## the newest versions into constraints.txt, from a fresh environment
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	build/lock/bin/python -m pip install --quiet --editable '.[server,examples,report]' --group dev
	{ grep -E '^#|;' constraints.txt; build/lock/bin/python -m pip freeze --exclude-editable; } > build/lock/constraints.txt
	mv build/lock/constraints.txt constraints.txt

clean: ## all that was built; .levare, the state, stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
