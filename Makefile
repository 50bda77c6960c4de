# Everything builds its own .venv: on a fresh machine `make demo` and `make test` are all the set-up there is.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo deploy test test-deploy callback-test lint chaos bench clean
JOBS ?= 200
SEED ?= 1

help:
	@echo "make demo   one video on the sandbox: no key, no money, under a minute"
	@echo "make test   lint, types, import floors, tests"
	@echo "make test-deploy  deployments on a real server with real workers: minutes"
	@echo "make callback-test  waiting without a worker, at length and under load: JOBS=200, half an hour"
	@echo "make lint   lint, types, import floors"
	@echo "make deploy blocks, work pool, deployments and automations on the server at PREFECT_API_URL"
	@echo "make chaos  kill workers at every boundary: JOBS=200 SEED=1"
	@echo "make bench  what a job costs, beside a hand-written script"
	@echo "make clean  remove what these made"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	@touch $@

demo: .venv/ready
	$(BIN)/python -m blocks.sandbox.demo

test: lint
	$(BIN)/pytest --ignore=tests/deploy --ignore=tests/callback

test-deploy: .venv/ready
	$(BIN)/pytest tests/deploy

callback-test: .venv/ready
	JOBS=$(JOBS) $(BIN)/pytest -n 0 -s tests/callback

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

deploy: .venv/ready
	$(BIN)/python -m flows.deploy

chaos: .venv/ready
	$(BIN)/python -m tests.chaos --jobs $(JOBS) --seed $(SEED) --lookup yes
	$(BIN)/python -m tests.chaos --jobs $(JOBS) --seed $(SEED) --lookup no

bench: .venv/ready
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv .demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
