# make: set up and run the experiment.   Others: make test, make ui, make bench, make step-cost, make lint, make lock,
# make zoo, make soak, make scale, make test-slurm, make test-kubernetes, make test-postgres
PYTHON ?= python3
CONFIG ?= workflow/config/default.yaml
CORES  ?= all
PORT   ?= 5000
PROFILE ?=# slurm or kubernetes: where jobs run

BIN := .venv/bin
EXTRAS := slurm kubernetes postgres
# Apart from .venv: Snakemake imports every plugin that it finds there, and these take seconds.
WITH = PYTHONPATH=$(CURDIR)/.extras/

.PHONY: run setup test zoo soak ui bench bench-full scale step-cost lint lock $(EXTRAS:%=test-%)
.DELETE_ON_ERROR:

run: .venv/installed $(PROFILE:%=.extras/%)
	$(if $(PROFILE),$(WITH)$(PROFILE)) $(BIN)/snakemake --rerun-incomplete --configfile $(CONFIG) \
	    $(if $(PROFILE),--profile workflow/profiles/$(PROFILE),--cores $(CORES))

setup: .venv/installed

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 25

# With services of their own, started and ended by the test: Slurm, PostgreSQL; Kubernetes is a dry run.
$(EXTRAS:%=test-%): test-%: .venv/installed .extras/%
	$(WITH)$* $(BIN)/python -m pytest -m cluster tests/workflow/test_$*.py

zoo: .venv/installed # what is compiled is compiled as for a user: see tests/conftest.py
	XLA_FLAGS= $(BIN)/python -m pytest --numprocesses 2 --dist worksteal -m zoo

soak: .venv/installed
	PYTHONPATH=tests $(BIN)/python -m support.soak

ui: .venv/installed
	@echo 'Open http://127.0.0.1:$(PORT)/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=descentlab-start'
	MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow ui --backend-store-uri sqlite:///results/mlflow.db --host 127.0.0.1 --port $(PORT) --workers 1

bench bench-full: .venv/installed
	PYTHONPATH=tests $(BIN)/python -m benchmarks $(if $(findstring full,$@),--full)

scale: .venv/installed
	$(BIN)/python -m benchmarks.scale

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

$(EXTRAS:%=.extras/%): .extras/%: requirements-%.lock | .venv/installed
	rm -rf $@
	$(BIN)/uv pip install --python .venv --no-deps --require-hashes --target $@ --requirement $<
	touch $@

# The lock from pyproject.toml, what each extra adds to it, and the same pins for conda. None holds an index's address.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
    --custom-compile-command "make lock" pyproject.toml
lock: | $(BIN)/uv
	$(COMPILE) --extra dev --output-file requirements.lock
	for extra in $(EXTRAS); do \
	    $(COMPILE) --extra $$extra --constraint requirements.lock --no-annotate --output-file .venv/extra.lock && \
	    awk 'NR == FNR { known[$$1]; next } /^[^ #]/ { new = !($$1 in known) } new || /^#/' requirements.lock .venv/extra.lock \
	        > requirements-$$extra.lock || exit 1; \
	done
	sed '/^  - pip:$$/q' environment.yml > environment.yml.new
	sed -n 's/^\([a-z0-9].*\) \\$$/      - \1/p' requirements.lock >> environment.yml.new
	echo '      - --editable .' >> environment.yml.new
	mv environment.yml.new environment.yml
