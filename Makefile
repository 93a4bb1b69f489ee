# Everything sets itself up: `make train` and `make test` work on a fresh clone with Python 3.11+.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: train test torture integrations lint format results bench constraints clean

train: .venv/installed  ## AdaPS on bps-1: finds the kinds, trains them, ends with the report's path
	$(BIN)/adaps train bps-1 --seeds 4 --steps 1_000_000

test: .venv/installed lint  ## everything that CI runs
	$(BIN)/pytest -n 2 --dist worksteal

torture: .venv/installed  ## kills a run 100 times and damages checkpoints 1,000 times; half an hour
	ADAPS_KILLS=100 ADAPS_DAMAGES=1000 $(BIN)/pytest -n 2 --dist load tests/test_torture.py \
		tests/files/checkpoint/test_damages.py

integrations: .venv-integrations/installed  ## tries a hundred of other people's tasks; an hour
	.venv-integrations/bin/python experiments/other_environments.py \
		--out docs/results/other_environments.json
	$(BIN)/python experiments/tables.py

lint: .venv/installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-cache

format: .venv/installed
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

results: .venv/installed  ## every table and figure of docs/results; half a day, and may be interrupted
	$(BIN)/python experiments/results.py

bench: .venv/installed  ## speed on this machine, into docs/results/
	$(BIN)/adaps bench bps-1 --repeats 9 --out docs/results/bench.json
	$(BIN)/python experiments/tables.py

constraints: .venv/installed  ## newest versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --upgrade --group dev pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv .venv-integrations runs dist build .jax_cache .pytest_cache .ruff_cache .hypothesis

.venv/installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "adaps needs Python 3.11 or later: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv-integrations/installed: .venv/installed experiments/integrations.txt
	$(PYTHON) -m venv .venv-integrations
	.venv-integrations/bin/python -m pip install --quiet --disable-pip-version-check \
		--require-hashes -r constraints.txt
	.venv-integrations/bin/python -m pip install --quiet --disable-pip-version-check \
		-r experiments/integrations.txt
	.venv-integrations/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--no-build-isolation --editable .
	@touch $@
