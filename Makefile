# make demo and make test do everything on a fresh machine with Python 3.11 and make.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test test-lowest check audit wheel format bench gpu-day gpu-day-wheels clean

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

# The tests with the lowest versions that pyproject.toml promises, in an environment of their own; what those warn of is
# not our error.
LOWEST := .venv-lowest/bin
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python tests/lowest_versions.py > .venv-lowest/constraints.txt
	$(LOWEST)/python -m pip install --quiet -c .venv-lowest/constraints.txt -e ".[dev]"
	OMP_NUM_THREADS=1 $(LOWEST)/python -m pytest -n 2 --dist worksteal -W default

# Known vulnerabilities of what `make install` installs. It asks PyPI's service for advisories.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet pip-audit
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

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

# One table, into benchmarks/results/cpu.md.
bench: install
	$(BIN)/python benchmarks/run.py

# All that only a GPU can tell, in nine minutes, into gpu-day/; without one, a rehearsal of two. Where nothing can be
# installed: python3 benchmarks/gpu_day.py
gpu-day: install
	$(BIN)/python benchmarks/gpu_day.py --out gpu-day

# What a machine with torch and without a network may lack, for its Python, into .wheels/.
GPU_DAY_PYTHON ?= 3.12
gpu-day-wheels: install
	$(BIN)/python -m pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_DAY_PYTHON) \
		$(foreach glibc,28 27 24 17,--platform manylinux_2_$(glibc)_x86_64) --platform manylinux2014_x86_64 \
		-c constraints.txt -d .wheels \
		beartype docstring-parser jaxtyping kornia kornia_rs simplejpeg typeguard tyro wadler-lindig

clean:
	rm -rf .venv .venv-lowest .venv-audit build dist .pytest_cache .ruff_cache demo
	find . -name __pycache__ -prune -exec rm -rf {} +
