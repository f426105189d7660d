# Two commands are enough on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
NEED_DATA := benchmarks/sampling_feature_auc.py benchmarks/sampling_imagenet.py

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports docs gallery pytest proofs oldest benchmarks format clean

help:  ## show what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	@touch $@

# The constraint on torch lets pip take a CPU build where one is offered.
$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[data]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[data,dev]'
	@touch $@

demo: $(VENV)/.installed  ## install, search a sampler for digits with 40 % wrong labels, write a report
	$(BIN)/localmin search digits --noise 0.4 --seeds 0-1 --out runs/demo

test: lint types imports docs pytest  ## everything that must pass

lint: $(VENV)/.installed-dev  ## style and docstrings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev  ## static types, strict
	$(BIN)/mypy

imports: $(VENV)/.installed-dev  ## the layers import downwards only
	$(BIN)/lint-imports

docs: $(VENV)/.installed-dev  ## build the documentation, warnings are errors
	@rm -rf docs/api/generated  # stubs of modules that are gone would warn
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

gallery: $(VENV)/.installed-dev  ## draw the pictures of the documentation anew (minutes)
	$(BIN)/python docs/gallery/draw.py

pytest: $(VENV)/.installed-dev  ## tests and doctests
	$(BIN)/pytest -n $(JOBS)

proofs: $(VENV)/.installed-dev  ## the slow, statistical and end-to-end proofs (tens of minutes)
	$(BIN)/pytest -n $(JOBS) -m slow

oldest:  ## the tests with the lowest versions that pyproject.toml permits (not of torch: see .ci/oldest.py)
	$(PYTHON) -m venv $(VENV)/oldest
	$(PYTHON) .ci/oldest.py > $(VENV)/oldest/constraints.txt
	$(VENV)/oldest/bin/pip install --quiet --constraint $(VENV)/oldest/constraints.txt --editable '.[data]' \
	  pytest pytest-xdist hypothesis beartype hatchling
	$(VENV)/oldest/bin/pytest -n $(JOBS) -p no:cacheprovider --ignore src/localmin/integrations \
	  --deselect 'tests/docs/test_code_blocks.py::test_blocks_of_a_page_run[docs/howto/ray_cluster.md]'

benchmarks: $(VENV)/.installed-dev  ## the benchmarks that need no data of yours, then the pages written from them
	@for script in $(filter-out $(NEED_DATA) %_page.py,$(wildcard benchmarks/*.py)) $(wildcard benchmarks/*_page.py); do \
	  echo "== $$script"; $(BIN)/python $$script || exit 1; done
	@echo "left out, they need data (see their --help): $(NEED_DATA)"

format: $(VENV)/.installed-dev  ## apply the formatter and the safe fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove what was built (keeps runs/)
	rm -rf $(VENV) docs/_build build dist .mypy_cache .ruff_cache .pytest_cache
