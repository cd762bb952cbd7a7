# `make demo` and `make test` need nothing but Python; the first call builds .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test clean

help:
	@echo "make demo    learn two circles and a turning digit, optimise on them, write demo_output/"
	@echo "make test    style, types and tests"
	@echo "make clean   remove everything that make wrote"

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

demo: $(INSTALLED)
	$(BIN)/learnedmanifolds demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy learnedmanifolds
	$(BIN)/python -m pytest -n 2 --dist worksteal

clean:
	rm -rf .venv demo_output build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
