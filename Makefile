# Everything builds its own .venv: on a fresh machine `make demo` and `make test` are all the set-up there is.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help demo deploy test test-deploy callback-test lint verify chaos bench bench-archive integration cluster cluster-test cluster-packages clean
WORKERS ?= 4
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
JOBS ?= 200
SEED ?= 1
# Where it is set, each of the many processes compiles Prefect anew, which takes longer than what it does.
unexport PYTHONDONTWRITEBYTECODE

help:
	@echo "make demo   one video on the sandbox: no key, no money, under a minute"
	@echo "make test   lint, types, import floors, tests"
	@echo "make test-deploy  deployments on a real server with real workers: minutes"
	@echo "make integration  the archive against Ceph's S3 server, which is installed if it can be"
	@echo "make callback-test  waiting without a worker, at length and under load: JOBS=200, half an hour"
	@echo "make lint   lint, types, import floors"
	@echo "make deploy blocks, work pool, deployments and automations on the server at PREFECT_API_URL"
	@echo "make verify an archive against its sidecars: URL=s3://bucket/prefix DEEP=yes REOPEN=yes"
	@echo "make chaos  kill workers at every boundary: JOBS=200 SEED=1"
	@echo "make bench  what a job costs, beside scripts written by hand and a naive flow; then make bench-archive"
	@echo "make bench-archive  clips into a bucket, beside boto3 and plain s3fs: minutes"
	@echo "make cluster  PostgreSQL, Redis, two API servers, workers, the sandbox, on this machine: WORKERS=4"
	@echo "make cluster-test  2,000 jobs on it while a worker and an API server are killed"
	@echo "make clean  remove what these made"

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable . --group dev
	@touch $@

demo: .venv/ready
	$(BIN)/python -m blocks.sandbox.demo

test: lint
	$(BIN)/pytest --ignore=tests/deploy --ignore=tests/integration --ignore=tests/callback

test-deploy: .venv/ready
	$(BIN)/pytest tests/deploy

integration: .venv/ready
	$(BIN)/python -m tests.integration
	$(BIN)/pytest --numprocesses=0 tests/integration

callback-test: cluster-packages
	JOBS=$(JOBS) $(BIN)/pytest -n 0 -s tests/callback

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

deploy: .venv/ready
	$(BIN)/python -m flows.deploy

verify: .venv/ready
	$(if $(URL),AVATAR_ARCHIVE_URL="$(URL)") $(BIN)/python -m flows.verify $(if $(DEEP),--deep) $(if $(REOPEN),--reopen)

chaos: .venv/ready
	$(BIN)/python -m tests.chaos --jobs $(JOBS) --seed $(SEED) --lookup yes
	$(BIN)/python -m tests.chaos --jobs $(JOBS) --seed $(SEED) --lookup no

bench: .venv/ready
	$(BIN)/python -m tests.bench $(BENCH)
	$(MAKE) bench-archive

bench-archive: .venv/ready
	$(BIN)/python -m tests.integration
	$(BIN)/python -m tests.bench.archive

# The servers that Debian packages; Prefect's side of Redis is an extra of this project.
cluster-packages: .venv/ready
	@command -v redis-server >/dev/null && [ -x /usr/sbin/haproxy ] && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 \
		|| { $(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y --no-install-recommends redis-server haproxy postgresql; }
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable ".[cluster]"

cluster: cluster-packages
	$(BIN)/python -m tests.cluster --workers $(WORKERS)

cluster-test: cluster-packages
	$(BIN)/python -m tests.cluster.trial

clean:
	rm -rf .venv .demo .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
