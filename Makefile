# One verb per task. Everything is installed below .venv and clients/*/node_modules; nothing else is touched, except
# that `make test` installs system packages where it is root on Debian.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What was installed is marked by a file whose name holds a digest of what asked for it: a change there, not a newer
# date, installs again.
WANTED := $(shell cat setup.cfg pyproject.toml | sha256sum | cut -c1-16)
MARKS := $(VENV)/installed
NPM_MARK = clients/$(1)/node_modules/installed-$(shell cat clients/$(1)/package-lock.json | sha256sum | cut -c1-16)
NOVNC_MARK := $(call NPM_MARK,novnc)
WSLINK_MARK := $(call NPM_MARK,wslink)
# Each version is in a virtual environment of its own: they exclude each other, and ours has none of what they import.
PYENSIGHT := clients/pyensight
PYENSIGHT_WANTED := $(shell cat $(PYENSIGHT)/*.txt | sha256sum | cut -c1-16)
PYENSIGHT_MARKS := $(foreach version,0.10.10 0.11.16,$(VENV)/pyensight/$(version)/installed-$(PYENSIGHT_WANTED))

.PHONY: demo test conformance fuzz soak stress bench profile lint types docs clean
.DELETE_ON_ERROR:

# The daemon itself prints the one URL to open.
demo: $(MARKS)/base-$(WANTED) $(NOVNC_MARK)
	@exec $(BIN)/twistd -n --pidfile= sessiond --config etc/demo.toml

# pytest comes last: its summary is the last thing printed.
test: $(MARKS)/tests-$(WANTED) $(NOVNC_MARK) $(WSLINK_MARK) $(PYENSIGHT_MARKS)
	@$(PYTHON) -m tests.components
	@$(BIN)/pytest -n 2 --dist loadfile $(PYTEST)

# The protocol's whole test suite, with the large messages that `make test` leaves out.
conformance: $(MARKS)/tests-$(WANTED)
	@$(PYTHON) -m tests.components
	@SESSIOND_CONFORMANCE=all $(BIN)/pytest -s tests/conformance

# Grows bytes for each of the readers, one after another, FUZZ_S seconds each; what breaks one is left in fuzz/found.
FUZZ_S ?= 60
FUZZED := frames framing messages
fuzz: $(MARKS)/fuzz-$(WANTED)
	@mkdir -p fuzz/found
	@for reader in $(FUZZED); do \
		echo "fuzz.$$reader ..." >&2; \
		$(BIN)/python -m fuzz.$$reader -max_total_time=$(FUZZ_S) -max_len=2000 -print_final_stats=1 \
			-artifact_prefix=fuzz/found/ || exit 1; \
	done

# The model of the daemon's invariants with many more examples than `make test` has time for.
SOAK ?= 2000
soak: $(MARKS)/tests-$(WANTED)
	@SESSIOND_SOAK=$(SOAK) $(BIN)/pytest tests/broker/test_invariants.py $(PYTEST)

# Many more viewers than `make test` has time for, whose programs fail in every way; another run, another story.
STRESS ?= 200
STRESS_SEED ?= $(shell date +%s)
stress: $(MARKS)/tests-$(WANTED)
	@SESSIOND_STRESS=$(STRESS) SESSIOND_STRESS_SEED=$(STRESS_SEED) $(BIN)/pytest -s tests/e2e/test_hoops_stress.py $(PYTEST)

# The table comes last; it is written to bench/ too.
bench: $(MARKS)/bench-$(WANTED)
	@$(BIN)/python -m bench $(BENCH)

# Where the daemon's time goes while one tunnel is saturated; written to bench/ too.
profile: $(MARKS)/bench-$(WANTED)
	@$(BIN)/python -m bench.profile $(PROFILE)

lint: $(MARKS)/lint-$(WANTED)
	@$(BIN)/ruff check .

types: $(MARKS)/types-$(WANTED) $(MARKS)/tests-$(WANTED)
	@$(BIN)/mypy

docs: $(MARKS)/docs-$(WANTED)
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build

clean:
	rm -rf $(VENV) build dist docs/_build docs/_generated sessiond.egg-info clients/*/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sessiond needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

# compat: the default kind of editable install hides plugins from twistd.
$(MARKS)/%-$(WANTED): | $(BIN)/python
	@echo "Installing into $(VENV): sessiond, $*" >&2
	@$(BIN)/python -m pip install -q --disable-pip-version-check --config-settings editable_mode=compat \
		-e '.$(if $(filter base,$*),,[$*])'
	@mkdir -p $(MARKS) && touch $@

$(NOVNC_MARK) $(WSLINK_MARK):
	@echo "Installing into $(patsubst %/node_modules/,%,$(dir $@))" >&2
	@cd $(patsubst %/node_modules/,%,$(dir $@)) && npm ci --silent --no-audit --no-fund --ignore-scripts </dev/null
	@touch $@

$(VENV)/pyensight/%/installed-$(PYENSIGHT_WANTED): | $(BIN)/python
	@echo "Installing into $(VENV)/pyensight/$*" >&2
	@$(PYTHON) -m venv --clear $(VENV)/pyensight/$*
	@$(VENV)/pyensight/$*/bin/python -m pip install -q --disable-pip-version-check --no-deps -r $(PYENSIGHT)/$*.txt
	@touch $@
