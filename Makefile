# Everything below starts from nothing but a Python with venv.
#
#   make demo         the demo project, served on 127.0.0.1:8000
#   make test         each behaviour, in a few minutes
#   make check        what CI runs: lint, docs, more of the tests, on two Pythons
#   make soak         the rest: new random examples, kills, stress, all of conformance
#   make conformance  Django's whole suite, on each backend and version of Django
#   make lint         ruff and mypy
#   make docs         the documentation, in docs/_build
#   make compare      docs/ref/backends.rst anew, which compares the backends
#   make bench        LMDB measured beside SQLite, and immudb beside its other clients;
#                     QUICK=1 ONLY=lmdb WRITE=1 JSON=file
#   make immudb       build the immudb server for the tests, once; needs Go
#   make dynamodb     fetch DynamoDB Local for the tests, once; needs Java and Maven
#   make clean        remove all that was made here

VENV   ?= .venv
# The newest installed Python that Django allows; run only to make VENV.
PYTHON ?= $(shell scripts/find_python newest)
# `make check` tests the oldest Python, too, with the oldest Django.
OLDEST_VENV   ?= .venv-oldest
OLDEST_PYTHON ?= $(shell scripts/find_python oldest)
OLDEST_DJANGO ?= django~=5.2.0
# A requirement that pins Django, e.g. DJANGO='django~=5.2.0'.
DJANGO ?=
DOCS   ?= docs/_build
# Processes that run tests: one more than two processors, as tests wait for servers.
JOBS   ?= 3
# Some of the tests: PYTEST='tests/demo -k track'.
PYTEST ?=
# What is drawn at random: others than in each run, and how many; see tests/effort.py.
SEED     ?=
EXAMPLES ?=

# Hundreds of processes are started here: each would compile all modules again.
export PYTHONDONTWRITEBYTECODE :=

BIN := $(VENV)/bin
RUN := $(BIN)/python

.PHONY: demo test check check-newest check-oldest soak pytest labels conformance lint \
	format docs compare bench venv immudb immudb-stubs dynamodb clean
.DEFAULT_GOAL := test

demo: $(VENV)/.installed-demo $(if $(filter immudb,$(DEMO_ENGINE)),immudb)
	$(RUN) demo/manage.py demo --port $(or $(DEMO_PORT),8000) $(if $(filter 0,$(DEMO_SERVE)),--no-serve)

test:
	$(MAKE) --no-print-directory pytest BACKENDKIT_TESTS=test
	$(if $(PYTEST),,$(MAKE) --no-print-directory labels DJANGO_LABELS=lmdb:small)

# All parts run, whatever fails; the end says what did. The first one is `make test`.
check:
	@failed=; \
	for part in check-oldest lint docs check-newest; do \
	    echo "=== $$part"; \
	    $(MAKE) --no-print-directory $$part || failed="$$failed $$part"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

# All that LMDB's store shares with the reference store is tried on LMDB.
check-newest:
	$(MAKE) --no-print-directory --keep-going pytest labels \
	    BACKENDKIT_TESTS=check DJANGO_LABELS="lmdb:core memory:small immudb:small"

# What depends on the version of Python or Django shows with fewer random examples, too.
check-oldest:
	$(MAKE) --no-print-directory --keep-going test \
	    VENV="$(OLDEST_VENV)" PYTHON="$(OLDEST_PYTHON)" DJANGO="$(OLDEST_DJANGO)"

# Each run draws other examples, by a seed that it prints. It takes hours.
soak:
	$(MAKE) --no-print-directory pytest BACKENDKIT_TESTS=soak
	$(if $(PYTEST),,$(MAKE) --no-print-directory conformance)
	$(if $(PYTEST),,$(MAKE) --no-print-directory conformance ENGINES=immudb)

# Without Go and without an immudb its tests are skipped; where CI is set they fail.
pytest: $(VENV)/.installed-test
	-@$(MAKE) --no-print-directory immudb
	BACKENDKIT_TESTS=$(BACKENDKIT_TESTS) BACKENDKIT_SEED=$(SEED) BACKENDKIT_EXAMPLES=$(EXAMPLES) \
	    $(RUN) -m pytest -n $(JOBS) --dist worksteal $(PYTEST)

# Django's own tests, unpatched: for each ENGINE the labels around the database, or some.
CONFORMANCE := $(RUN) -m backendkit.conformance run

labels: $(VENV)/.installed-test
	@failed=0; \
	for run in $(DJANGO_LABELS); do \
	    engine=backendkit.backends.$${run%:*}; \
	    if [ $$run = immudb:small ] && [ -z "$$CI" ] && \
	        ! $(RUN) -m backendkit.backends.immudb.server find; then continue; fi; \
	    $(CONFORMANCE) $$engine $${run#*:} --no-baseline --parallel $(JOBS) || failed=1; \
	done; exit $$failed

# All of them. It takes about 40 minutes on two cores; a page for each run.
# ENGINES=immudb starts the servers that it needs; it takes longer than the others.
DJANGOS ?= 6.1 6.0 5.2
ENGINES ?= lmdb memory
# Of the tests that pass on Django's SQLite backend, how many have to pass, in percent.
REQUIRE ?= $(if $(filter immudb,$(ENGINES)),99,99.7)

conformance: $(VENV)/.installed-conformance $(if $(filter immudb,$(ENGINES)),immudb)
	mkdir -p build/conformance
	set -e; failed=0; \
	for engine in $(ENGINES); do \
	    $(RUN) -m backendkit.conformance lint backendkit.backends.$$engine || failed=1; \
	    for django in $(DJANGOS); do \
	        $(CONFORMANCE) backendkit.backends.$$engine --django $$django \
	            --parallel $(JOBS) --require $(REQUIRE) \
	            --html build/conformance/$$engine-$$django.html \
	            --json build/conformance/$$engine-$$django.json || failed=1; \
	    done; \
	done; exit $$failed

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs
	$(RUN) -m sphinx -n -W --keep-going -b html -d $(DOCS)/doctrees docs $(DOCS)/html

# What the stores can do, and which of Django's tests fail: `make check` compares it.
compare: $(VENV)/.installed-demo
	$(RUN) docs/compare.py --write

# Without Go and without an immudb its part is left out.
bench: $(VENV)/.installed-bench
	-@$(if $(filter lmdb,$(ONLY)),,$(MAKE) --no-print-directory immudb)
	$(RUN) -m benchmarks $(if $(QUICK),--quick) $(if $(WRITE),--write) \
	    $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json $(JSON))

# Into the user's cache, unless there is one on PATH or in BACKENDKIT_IMMUDB.
immudb:
	@PYTHONPATH=src "$(PYTHON)" -m backendkit.backends.immudb.server build tools/immudb

# DynamoDB Local, for the tests, into the user's cache; needs Java and Maven.
DYNAMODB := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/django-backendkit/dynamodb-local/3.1.0

dynamodb:
	@test -d "$(DYNAMODB)" || { rm -rf "$(DYNAMODB).new" && \
	    mvn -q -B dependency:copy-dependencies -DincludeScope=runtime \
	        -f src/backendkit/dbdev/engines/dynamodb-pom.xml \
	        -DoutputDirectory="$(DYNAMODB).new" && \
	    mv "$(DYNAMODB).new" "$(DYNAMODB)"; }

# The modules that protoc makes are checked in.
immudb-stubs: $(VENV)-stubs/.installed-stubs
	$(VENV)-stubs/bin/python -m grpc_tools.protoc -Isrc --python_out=src --pyi_out=src \
	    backendkit/backends/immudb/driver/immudb.proto

$(VENV)-stubs/.installed-stubs: pyproject.toml
	"$(PYTHON)" -m venv $(VENV)-stubs
	$(VENV)-stubs/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(VENV)-stubs/bin/python -m pip install --quiet --group stubs
	touch $@

# All that work on the project needs, in one environment.
venv: $(VENV)/.installed-dev

clean:
	rm -rf .venv .venv-* docs/_build build dist demo/data
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests demo docs benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp per dependency group; "demo" needs none but the package itself.
$(VENV)/.installed-demo: $(RUN) pyproject.toml
	$(RUN) -m pip install --quiet --editable '.[lmdb,immudb]' $(DJANGO)
	touch $@

$(VENV)/.installed-%: $(VENV)/.installed-demo
	$(RUN) -m pip install --quiet --group $* $(DJANGO)
	touch $@

# Dependency groups need pip 25.1.
$(RUN):
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade 'pip>=25.1'
