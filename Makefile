# Two commands on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test check format bench bench-cuda network fuzz soak clean

run: $(VENV)/.run
	$(BIN)/python run_server.py $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

network: $(VENV)/.test
	LONG=1 $(BIN)/python -m pytest -s tests/network $(ARGS)

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

# A card's machine may have no network: what is installed there has to do.
bench-cuda:
	PYTHONPATH=. $(PYTHON) -m benchmarks.cuda $(ARGS)

fuzz: $(VENV)/.test
	FUZZ=full $(BIN)/python -m pytest -s --timeout 0 tests/fuzz $(ARGS)

soak: $(VENV)/.test
	$(BIN)/python -m benchmarks soak cycles limit

clean:
	rm -rf $(VENV)

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $(VENV)/.run $@
