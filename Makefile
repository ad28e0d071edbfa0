# make demo and make test do everything on a fresh machine with Python 3.11 and make.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test check wheel format bench bench-gpu clean

install: .venv/installed

# torch first, at the pinned version: a CPU build where one is configured, without a detour over newer CUDA packages.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	touch $@

demo: install
	$(BIN)/stellar demo

# In two processes of a thread each, which takes little more than half the time of one.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# Wheel and source distribution, into dist/; and a test that the wheel works in an environment of its own.
wheel: install
	rm -rf dist
	$(BIN)/python -m build
	STELLAR_DIST=$(CURDIR)/dist $(BIN)/python -m pytest -m slow tests/test_wheel.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# One table, into benchmarks/results/cpu.md or gpu.md.
bench: install
	$(BIN)/python benchmarks/run.py

bench-gpu: install
	$(BIN)/python benchmarks/run.py --gpu

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache demo
	find . -name __pycache__ -prune -exec rm -rf {} +
