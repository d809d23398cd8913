# `make demo` and `make test` set everything up by themselves: a virtual environment in .venv, the package and its tools.
# A second call does no set-up again, unless pyproject.toml or constraints.txt changed.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$p && break; done)
endif

# The bundled pair and the tests use what is in the repository; nothing is looked up on a hub.
OFFLINE := HF_HUB_OFFLINE=1

.PHONY: help setup demo test check format clean

help:
	@echo "make demo    read a few sentences with the bundled pair and write a report"
	@echo "make test    run the tests"
	@echo "make check   ruff and pyright"
	@echo "make format  let ruff mend and format the code"
	@echo "make setup   only make $(VENV) and install into it"
	@echo "make clean   remove $(VENV) and caches"

demo: setup
	@$(OFFLINE) $(BIN)/thinkaloud demo

# Two processes, a file of tests on one of them: torch uses one thread in each.
test: setup
	@$(OFFLINE) $(BIN)/python -m pytest -n 2 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(SUITABLE)' || { \
		echo "thinkaloud needs Python 3.11 or newer: install one, or say where it is: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@# Compiled here on every core, which pip would do on one; without the libraries' own tests.
	@$(BIN)/python -m compileall -q -j 0 -x '/tests/' $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
