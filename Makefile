PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs/purohit2025-laptop
PINNED := $(shell grep -c == constraints.txt)
# Whoever watches sees what pip does; a log, or CI, has the line before it alone.
QUIET := $(shell test -t 2 && test -z "$$CI" || echo --quiet)

.PHONY: study test all quick lint docs clean help

help:
	@echo "make study   install, fetch the data, run the laptop study, print table and report path"
	@echo "make test    install, fetch the data, run the linters and the tests, build the documentation"
	@echo "make all     install, run all tests, those too that take long on a cluster of this machine"
	@echo "make quick   install, run the tests that take seconds"
	@echo "make lint    ruff and mypy alone"
	@echo "make docs    the documentation as a site, in build/site, its links checked"
	@echo "make clean   remove the virtual environment (cached data and results stay)"

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('wherefrom needs Python >= 3.11: call make PYTHON=python3.11') if sys.version_info < (3, 11) else None"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade
	@echo "installing up to $(PINNED) packages into $(VENV): some 3 minutes the first time"
	$(BIN)/python -m pip install $(QUIET) --constraint constraints.txt --editable ".[train,geo,cropharvest,grids,zarr,cluster,docs,dev]"
	touch $@

study: $(STAMP)
	$(BIN)/wherefrom data fetch
	$(BIN)/wherefrom data fetch geoclip-location
	$(BIN)/wherefrom study run studies/purohit2025 --scale laptop --out $(OUT)

test: lint docs
	$(BIN)/wherefrom data fetch
	$(BIN)/wherefrom data fetch geoclip-location
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long"

all: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

quick: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# With --quiet, --strict would see no fault.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV)
