# Two commands on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Makes the site of the documents; MIT, 138 MB with what it needs. 0.1 is not tried yet.
ZENSICAL := 'zensical>=0.0.73,<0.1'

# What a release needs beside the tests: a list of the packages, and known faults of them; both Apache-2.0.
RELEASE_TOOLS := 'cyclonedx-bom>=7,<8' 'pip-audit>=2.10,<3'

.PHONY: run test check coverage check-web docs lock-web format bench bench-cuda network fuzz soak sbom audit clean

run: $(VENV)/.run
	$(BIN)/python run_server.py $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory check-web docs
	$(BIN)/python -m pytest $(ARGS)

# Which lines and branches the tests run, in child processes as well, with the figure in the last line. Takes longer
# than the tests alone. What a killed process ran is lost, so the workers of servers that tests start are not counted.
coverage: $(VENV)/.test
	rm -rf build/coverage
	mkdir -p build/coverage
	$(BIN)/python -m coverage run -m pytest $(ARGS); status=$$?; \
	$(BIN)/python -m coverage combine --quiet && $(BIN)/python -m coverage report && exit $$status

# Types and lint of the pages' scripts. Skipped without node and npm, unless REQUIRE_SYSTEM=1.
ifneq ($(shell command -v node >/dev/null && command -v npm),)
check-web: web/node_modules/.installed
	cd web && node_modules/.bin/tsc -p . && node_modules/.bin/tsc -p tests && node_modules/.bin/biome lint --error-on-warnings .
else ifeq ($(REQUIRE_SYSTEM),1)
check-web:
	@echo "the checks of web/ need node and npm, which are missing"; exit 1
else
check-web:
	@echo "the checks of web/ are skipped: they need node and npm"
endif

# The documentation's site, in build/docs-site. A link to a missing page or heading fails it.
# Copied at their own paths, so that links between the documents work here and on a code host.
DOCS_SOURCE := build/docs-source
docs: .venv-docs/.installed
	rm -rf $(DOCS_SOURCE)
	mkdir -p $(DOCS_SOURCE)/training
	cp *.md $(DOCS_SOURCE)
	cp -R docs $(DOCS_SOURCE)/docs
	cp training/README.md $(DOCS_SOURCE)/training
	.venv-docs/bin/zensical build --strict --clean

# Writes the lock without the addresses of packages' funding pages: it names no host.
lock-web:
	cd web && npm install --package-lock-only --ignore-scripts
	cd web && node -e 'const f = "package-lock.json", l = require("./" + f); for (const p of Object.values(l.packages)) delete p.funding; require("fs").writeFileSync(f, JSON.stringify(l, null, 2) + "\n")'

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

# The packages of .venv as CycloneDX. After `make clean sbom` these are what a server needs, without the tools of tests.
sbom: $(VENV)/.run .venv-release/.installed
	mkdir -p build
	.venv-release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--of JSON -o build/lipstream.cdx.json $(BIN)/python

# Known vulnerabilities of the packages of .venv; asks the advisory database of the Python registry.
audit: $(VENV)/.run .venv-release/.installed
	.venv-release/bin/pip-audit --strict --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:
	rm -rf $(VENV) .venv-docs .venv-release .cache build/docs-source build/docs-site web/node_modules

web/node_modules/.installed: web/package.json web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

.venv-docs/.installed: Makefile
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check $(ZENSICAL)
	touch $@

.venv-release/.installed: Makefile
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check $(RELEASE_TOOLS)
	touch $@

$(VENV)/.run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(VENV)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $(VENV)/.run $@
