# One command each; `make help` lists them. Everything is installed into .venv, and nothing outside the checkout changes.
#     make demo INPUT="my scan.nii.gz" MODEL=hippocampus-mr OUTPUT=results
#     make test TESTS=Testing/core/networks

PYTHON ?= python3
EXTRAS ?= test,train,slicer-host,dicom,dask,docs
TESTS ?=
JOBS ?= 2
# Neighbouring tests stay in one process, so that they share what their fixtures made, until another process is idle.
PARALLEL = -n $(JOBS) --dist worksteal
INPUT ?=
MODEL ?=
OUTPUT ?=
TRUTH ?=

ifeq ($(OS),Windows_NT)
VENV_PYTHON := .venv/Scripts/python.exe
else
VENV_PYTHON := .venv/bin/python
endif
STAMP := .venv/installed
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' AutofocusCore/_version.py)
PIP := $(VENV_PYTHON) -m pip --disable-pip-version-check

export INPUT MODEL OUTPUT TRUTH PYTHON
# Where Python is told to keep no bytecode, each of the tests' processes would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv kernel demo test test-slow check coverage docs extension fuzz bench bench-roi bench-train bench-large bench-kernel screenshots latency route soak table3 lint format drawing system clean

help: ## list the commands
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 20

venv: $(STAMP) ## install into .venv the package, editable, with all that tests, training and demo need

$(STAMP): pyproject.toml constraints.txt AutofocusCore/_version.py
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo '"$(PYTHON)" is not there or older than Python 3.10; name a newer one: make PYTHON=python3.12' >&2; exit 1; }
	@"$$PYTHON" -c 'import ensurepip, venv' || { echo 'This Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@test -x $(VENV_PYTHON) && $(VENV_PYTHON) -m pip --version >/dev/null 2>&1 || "$$PYTHON" -m venv --clear .venv
	@echo 'Installing into .venv; the first time this takes minutes.'
	@$(PIP) install --quiet -c constraints.txt -e ".[$(EXTRAS)]" || { echo 'The installation failed. Where a package has no wheel for this Python or system, try Python 3.10 to 3.13 (make PYTHON=python3.12), or do without its extra, for example without the pictures: make EXTRAS=test,train,dicom,dask' >&2; exit 1; }
	@$(MAKE) --no-print-directory kernel
	@touch $(STAMP)

kernel: ## build the native kernel for this computer's processor; without a compiler, PyTorch computes
	@$(VENV_PYTHON) setup.py --quiet build_ext --inplace

demo: venv ## segment a phantom CT, or INPUT= with MODEL= (TRUTH= for Dice), and draw the pictures, into OUTPUT=
	@$(VENV_PYTHON) -m Demo.demo $${INPUT:+--input "$$INPUT"} $${MODEL:+--model "$$MODEL"} $${OUTPUT:+--output "$$OUTPUT"} $${TRUTH:+--truth "$$TRUTH"}

test: venv drawing ## run the tests in JOBS= processes (2), but for those that take minutes each
	$(VENV_PYTHON) -m pytest $(PARALLEL) $(TESTS)

fuzz: venv ## read 500 damaged files of every format family, and count what comes of it
	$(VENV_PYTHON) -m Testing.fuzz

test-slow: venv drawing ## run the tests that take minutes each
	$(VENV_PYTHON) -m pytest -m slow --timeout 3600 $(TESTS)

check: lint ## check style and types, build the package and look into it
	$(VENV_PYTHON) -m pytest -m wheel Testing/test_wheel.py

coverage: venv drawing ## run the tests and print which lines none of them reaches
	$(VENV_PYTHON) -m coverage erase  # also what killed processes of an earlier run left
	$(VENV_PYTHON) -m pytest $(PARALLEL) --timeout 300 --cov --cov-report=term-missing $(TESTS)

docs: venv ## build the documentation's pages into build/site
	NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --strict --quiet --site-dir build/site

extension: ## pack module and engine into dist/, for Slicer to take as an additional module path
	@mkdir -p build dist && rm -rf build/AutofocusSegmentation
	cmake -DROOT="$(CURDIR)" -DREPORT="$(CURDIR)/build/extension.txt" -DINSTALLED="$(CURDIR)/build/AutofocusSegmentation" -P Testing/extension/slicer_stand_in.cmake
	cp LICENSE README.md build/AutofocusSegmentation
	cd build && "$$PYTHON" -m zipfile -c ../dist/AutofocusSegmentation-$(VERSION)-slicer.zip AutofocusSegmentation

bench: venv ## time exact mode against tiles as released and MONAI's sliding window
	$(VENV_PYTHON) -m Benchmarks.bench

bench-roi: venv ## time a real CT in the ROI domain against released tiles and exact mode, and a training step
	@$(VENV_PYTHON) -m Benchmarks.bench_roi --threads 1 2

bench-large: venv ## time a CT of full size through AFN-6 in both domains (many minutes)
	@$(VENV_PYTHON) -m Benchmarks.bench_large

bench-train: venv ## time a training step against the plain module's
	@$(VENV_PYTHON) -m Benchmarks.bench_train

soak: venv ## have one worker segment 500 volumes of random shapes; fails above 600 MiB, and draws the curve
	@$(VENV_PYTHON) -m Benchmarks.soak

bench-kernel: venv ## time the native kernel layer by layer against the matrix-multiply peak
	@$(VENV_PYTHON) -m Benchmarks.bench_kernel

latency: venv ## measure how long the panel keeps the application waiting during a run
	@$(VENV_PYTHON) -m Benchmarks.latency

route: venv ## count the files and functions that one segmentation passes through
	@$(VENV_PYTHON) -m Benchmarks.route

screenshots: venv ## take the tutorial's pictures of the panel and the views
	@$(VENV_PYTHON) -m Documentation.screenshots

table3: venv ## count the parameters of the ten networks beside the paper's Table 3
	@$(VENV_PYTHON) -m AutofocusCore.cli networks

lint: venv ## check style and types
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

format: venv ## put the style right where a program can
	$(VENV_PYTHON) -m ruff check --fix .
	$(VENV_PYTHON) -m ruff format .

# Says in one sentence what is missing for drawing without a screen; the tests of pictures are then skipped.
drawing: venv
	@$(VENV_PYTHON) -c 'from Demo.offscreen import why_not; print(why_not() or "Pictures can be drawn here.")'

system: ## install, as root on Debian or Ubuntu, the libraries that draw without a screen
	@"$$PYTHON" -c 'import ctypes; [ctypes.CDLL(name) for name in ("libEGL.so.1", "libEGL_mesa.so.0")]' 2>/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends libegl1 libegl-mesa0 libgl1-mesa-dri; }

clean: ## remove caches and builds; .venv, models and results stay
	rm -rf build dist .coverage .coverage.* .pytest_cache .hypothesis .mypy_cache .ruff_cache ./*.egg-info
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +
