# make lab     install into .venv and open the lessons in JupyterLab (ARGS="--no-browser" is passed on)
# make test    install what tests need as well, and run all of them
# make lessons run all notebooks and keep their output, after changing something they show
# make figures the picture of the README and the animations
# make site    the lessons as a website, in build/site/_build/html
# make release the student copies of the assignments, from their solved sources
# make grade   SUBMISSIONS=folder: grades STUDENT/NAME/NAME.ipynb with nbgrader
# make badges  REPO=owner/name REF=tag: Colab and Binder badges for README and notebooks

# PIP_ARGS is passed to pip, for example to take CPU-only wheels of PyTorch.

PYTHON ?= python3
VENV ?= .venv
$(if $(word 2,$(VENV)),$(error VENV is '$(VENV)': make knows no file names with spaces))
BIN := $(VENV)/bin
# Tests with photographs take them from an optional folder; name another one, or none, in DGA_REAL.
export DGA_REAL ?= $(abspath $(wildcard ../shared/real))

# One file at a time in each of two processes with one thread: two cores are busy, none waits. All
# in one call, so that PyTorch is imported twice and nobody waits for the end of three; the longest
# files begin (tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 PYTHONPATH=tests:tests/tools $(BIN)/python -m pytest -n 2 \
	--dist loadfile --no-loadscope-reorder
TESTS := tests --ignore=tests/tools --doctest-modules dga
LESSONS := -p nbval_plugin --nbval --nbval-current-env --nbval-cell-timeout=300 \
	--nbval-sanitize-with=tests/nbval_sanitize.cfg \
	notebooks/[0-9][0-9]_*.ipynb notebooks/assignments/source

.PHONY: lab test lessons figures site release grade badges
.DELETE_ON_ERROR:

# Serves all of the checkout, for pictures beside the lessons, and takes photographs of 90 MB.
lab: $(VENV)/lab.installed
	$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
		--ServerApp.tornado_settings="{'websocket_max_message_size': 100000000}" $(ARGS)

test: $(VENV)/test.installed
	$(BIN)/ruff check dga tests
	$(BIN)/ruff format --check dga tests
	$(BIN)/mypy
	$(PYTEST) $(TESTS) $(LESSONS) $(ARGS)

lessons: $(VENV)/test.installed
	$(BIN)/python tests/tools/lessons.py $(ARGS)

figures: $(VENV)/test.installed
	$(BIN)/python tests/tools/figures.py

site: $(VENV)/test.installed
	$(BIN)/jupyter-book build notebooks --path-output build/site

release: $(VENV)/test.installed
	$(BIN)/python notebooks/assignments/classroom.py release

# As it was typed, a dollar included.
override SUBMISSIONS := $(value SUBMISSIONS)
export SUBMISSIONS
grade: $(VENV)/test.installed
	$(BIN)/python notebooks/assignments/classroom.py grade "$$SUBMISSIONS"

badges: $(VENV)/lab.installed
	$(BIN)/python tests/tools/badges.py $(REPO) $(REF)

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed")'
	$(PYTHON) -m venv $(VENV)

# Each is the pyproject.toml that was installed: one that was merely touched needs no network.
$(VENV)/lab.installed $(VENV)/test.installed: $(VENV)/%.installed: pyproject.toml | $(BIN)/python
	@cmp -s pyproject.toml $@ || \
	{ $(BIN)/python -m pip --version || $(BIN)/python -m ensurepip; } >/dev/null 2>&1 || \
	{ echo "$(VENV) has no pip and cannot have it (Debian, Ubuntu: install python3-venv, remove $(VENV))"; exit 1; } >&2
	cmp -s pyproject.toml $@ || \
	$(BIN)/python -m pip install --disable-pip-version-check $(PIP_ARGS) -e ".[$*]"
	cp pyproject.toml $@$(if $(filter test,$*), && cp $@ $(VENV)/lab.installed)
