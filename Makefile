# make: set up and run the experiment.   Others: make test, make ui, make bench, make step-cost, make lint, make lock
PYTHON ?= python3
CONFIG ?= workflow/config/default.yaml
CORES  ?= all
PORT   ?= 5000

BIN := .venv/bin

.PHONY: run setup test ui bench bench-full step-cost lint lock
.DELETE_ON_ERROR:

run: .venv/installed
	$(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)

setup: .venv/installed

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

ui: .venv/installed
	@echo 'Open http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=descentlab-start'
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow ui --backend-store-uri sqlite:///results/mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

bench bench-full: .venv/installed
	$(BIN)/python -m benchmarks $(if $(findstring full,$@),--full)

step-cost: .venv/installed
	$(BIN)/python -m descentlab step-cost results/step_cost.csv

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/snakemake --lint

# uv installs a lock in a third of pip's time. It is itself of the version and hash in the lock: the lines from "uv==" to
# the last that doesn't go on.
$(BIN)/uv:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("descentlab needs Python 3.11, 3.12 or 3.13 (TensorFlow has no wheels for others); received %d.%d. Choose another: make PYTHON=python3.12" % v)'
	$(PYTHON) -m venv .venv
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.lock

.venv/installed: requirements.lock pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip sync --python .venv --require-hashes --compile-bytecode requirements.lock
	$(BIN)/uv pip install --python .venv --no-deps --no-build-isolation --editable .
	touch $@

# The lock from pyproject.toml, and the same pins for conda. Neither holds the address of an index.
lock: | $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	    --custom-compile-command "make lock" --extra dev pyproject.toml --output-file requirements.lock
	sed '/^  - pip:$$/q' environment.yml > environment.yml.new
	sed -n 's/^\([a-z0-9].*\) \\$$/      - \1/p' requirements.lock >> environment.yml.new
	echo '      - --editable .' >> environment.yml.new
	mv environment.yml.new environment.yml
