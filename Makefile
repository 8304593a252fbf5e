PYTHON ?= python3
VENV := .venv
WHEEL_VENV := build/wheel-venv
OLDEST_VENV := build/oldest-venv
BIN := $(VENV)/bin
BY_NUMPY := equilibrium path profit_curve monotone pricer sold explanation narrowing
# What an installation is made of: an editable one keeps the kernel that was compiled then.
BUILT := pyproject.toml hatch_build.py prillm_or/users/kernel.c

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# Tests take all cores by processes: threads of linear algebra would only wait for each other.
export OMP_NUM_THREADS := 1
# Tests start hundreds of processes, each of which would compile the package anew where this is set.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-all test-oldest lint types unit numpy slow wheel docs bench clean

# The best price as a mixed-integer programme proves it, then by the exact path; why; and a page to move the price on.
demo: $(VENV)/.installed
	@mkdir -p build
	$(BIN)/prillm-or solve coding-13 --model kkt-bigm --solver highs --gap 1e-4
	$(BIN)/prillm-or solve coding-13
	$(BIN)/prillm-or explain coding-13
	$(BIN)/prillm-or page coding-13 --out build/coding-13.html
	@echo "Open build/coding-13.html in a browser: its slider moves the price."

# Types are checked while the unit tests run, which take all cores.
test: lint
	$(MAKE) -j2 types unit

test-all: test
	$(MAKE) -j2 slow wheel
	$(MAKE) numpy

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(VENV)/.installed-test
	$(BIN)/mypy

unit: $(VENV)/.installed-test
	$(BIN)/pytest --numprocesses auto --dist worksteal

# Small markets without the kernel, as where there is no compiler: equilibria, prices, curves, and what is told of them.
numpy: export PRILLM_OR_KERNEL := 0
numpy: $(VENV)/.installed-test
	$(BIN)/pytest --numprocesses auto --dist worksteal $(foreach what,$(BY_NUMPY),tests/test_$(what).py)

# What is slow or broad; properties, which hypothesis marks, run again on many more examples.
slow: $(VENV)/.installed-test
	$(BIN)/pytest --numprocesses auto --dist worksteal -m "slow or hypothesis" --hypothesis-profile many

# A clean environment holding the built wheel alone, first without extras; bare `pytest` leaves the checkout off the path.
wheel: $(VENV)/.installed-test
	rm -rf dist $(WHEEL_VENV)
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv $(WHEEL_VENV)
	$(WHEEL_VENV)/bin/pip install --quiet dist/*.whl
	$(WHEEL_VENV)/bin/prillm-or solve coding-13
	$(WHEEL_VENV)/bin/pip install --quiet "$$(ls $(CURDIR)/dist/*.whl)[test]"
	PRILLM_OR_WHEEL=1 $(WHEEL_VENV)/bin/pytest -m wheel

# The oldest releases that pyproject.toml allows, with Python 3.11; torch in the release that pip is told to take, and last,
# as what it brings would stay: it needs networkx and Jinja, too.
test-oldest:
	$(PYTHON) -m venv $(OLDEST_VENV)
	$(OLDEST_VENV)/bin/pip install --quiet uv
	echo torch >build/not-oldest.txt
	$(OLDEST_VENV)/bin/uv pip install --quiet --python $(OLDEST_VENV) --resolution lowest-direct \
		--excludes build/not-oldest.txt --requirements pyproject.toml --extra test
	$(OLDEST_VENV)/bin/pip install --quiet torch==2.13.0
	$(OLDEST_VENV)/bin/pip install --quiet --no-deps --editable .
	$(OLDEST_VENV)/bin/pytest --numprocesses auto --dist worksteal

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/notebook.py docs/tutorial.ipynb docs/newcomer.ipynb
	$(BIN)/python -m sphinx -W -q -c docs -d build/doctrees . build/site
	@echo build/site/index.html

bench: $(VENV)/.installed-bench
	$(BIN)/python -m benchmarks

clean:
	rm -rf dist build $(VENV) .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BUILT) | $(BIN)/python
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-test: $(BUILT) | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[test]"
	touch $@

$(VENV)/.installed-bench: $(BUILT) | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[bench]"
	touch $@

$(VENV)/.installed-docs: $(BUILT) | $(BIN)/python
	$(BIN)/pip install --quiet --editable ".[docs]"
	touch $@
