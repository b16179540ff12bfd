# `make help` lists the targets. Variables:
#   VENV=.venv            the virtual environment, made on first use
#   MAL_PYTHON=python3.12 the Python that it is made with (default: the first >= 3.10 that is found)
#   PYTEST_ARGS='-x'      arguments for pytest in `make test`, in place of two processes that share out the test files
#   PYTHON=python3        use this Python and the packages that it has; nothing is installed
SHELL := /bin/bash
VENV ?= .venv
PYTEST_ARGS ?= -n 2 --dist loadfile
MAL_PYTHON ?=
export VENV MAL_PYTHON

ifeq ($(origin PYTHON),command line)
SETUP :=
BROWSER :=
export PYTHONPATH := $(CURDIR)/src:$(PYTHONPATH)
else
SETUP := setup
BROWSER := browser
PYTHON := $(VENV)/bin/python
endif

.DEFAULT_GOAL := help
.PHONY: help setup browser demo test lint format bench gpu-check ray-check clients-check wheel-check starter spec-page map clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make the virtual environment (the others do this by themselves)
	@scripts/setup-venv.sh

demo: $(SETUP) ## train on boxes, label generated scenes and real photos, and show them in demo/demo.html (a few minutes)
	@echo "==> Running the demo: trains a small model on boxes only, a few minutes on two CPU cores"
	$(PYTHON) -m mal demo --out demo

browser: $(SETUP)
	@PYTHON=$(PYTHON) scripts/setup-browser.sh

test: $(SETUP) $(BROWSER) ## run all tests, with coverage
	@echo "==> Running all tests (those that need a GPU are skipped without one)"
	$(PYTHON) -m pytest --cov --cov-report=term --cov-fail-under=90 -m "not clients" $(PYTEST_ARGS)

lint: $(SETUP) ## check format, style and types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy
	@scripts/check-page.sh

format: $(SETUP) ## put all files into the project's format
	$(PYTHON) -m ruff format .
	$(PYTHON) -m ruff check --fix .

bench: $(SETUP) ## run all benchmarks; tables go to benchmarks/results/
	$(PYTHON) -m benchmarks.run

gpu-check: $(SETUP) ## on a machine with CUDA, within 8 minutes: the GPU tests, speed of kernels, labeling and training
	$(PYTHON) scripts/gpu_check.py

ray-check: $(SETUP) ## install Ray, then label on a cluster of two workers and kill one (a few minutes)
	$(PYTHON) -m pip install --quiet -e '.[ray]'
	$(PYTHON) -m pytest -m ray

clients-check: $(SETUP) ## install the programs that we work with (9 GB, under .venv-clients/), and ask each of them
	@PYTHON=$(PYTHON) scripts/setup-clients.sh
	$(PYTHON) -m pytest -m clients -rP

wheel-check: ## build a wheel and an sdist, install the wheel into an empty environment, and run mal auto there
	@PYTHON=$(or $(filter-out $(VENV)/bin/python,$(PYTHON)),python3) scripts/check-wheel.sh

STARTER_TRAIN = $(PYTHON) -m mal train -e starter/recipe.yaml dataset.train_ann_path=build/starter/boxes.json dataset.train_img_dir=build/starter/images
# After three epochs one without cuts from the ellipse, which teach less than cuts of what the network has learned by
# then, and two whose targets are mostly its own masks (docs/quality.md).
NO_ELLIPSE = train.num_epochs=1 train.ellipse_epochs=0 train.ellipse_share=0 train.lr=1.6e-5
OWN_MASKS = train.target_softness=0.75 train.loss_mil_weight=0.5 train.mask_thres=[0.5]
FROM = model.pretrained=false train.pretrained_model_path=build/starter
LATEST = train/mal_model_latest.pth

starter: $(SETUP) ## train the starter anew from the sets in DATA=folder (half an hour), and write its files and its card
	$(PYTHON) -m starter.gather $(DATA) build/starter
	$(STARTER_TRAIN) results_dir=build/starter
	$(STARTER_TRAIN) results_dir=build/starter/epoch-4 $(FROM)/$(LATEST) $(NO_ELLIPSE) train.seed=7
	$(STARTER_TRAIN) results_dir=build/starter/epoch-5 $(FROM)/epoch-4/$(LATEST) $(NO_ELLIPSE) $(OWN_MASKS) train.seed=7
	$(STARTER_TRAIN) results_dir=build/starter/epoch-6 $(FROM)/epoch-5/$(LATEST) $(NO_ELLIPSE) $(OWN_MASKS) train.seed=8
	$(PYTHON) -m mal checkpoint convert --network teacher --half build/starter/epoch-6/$(LATEST) src/mal/starter/starter.safetensors
	$(PYTHON) -m mal export onnx --network teacher --checkpoint src/mal/starter/starter.safetensors --out src/mal/starter/starter.onnx
	$(PYTHON) -m starter.card

spec-page: $(SETUP) ## write docs/spec.md anew from the schema
	@printf '%s\n\n' '# The spec' 'Every field of a spec, as the schema in `src/mal/config/` declares it. `mal spec` prints the same as YAML to start from, and `mal spec --json-schema` as a JSON Schema for editors.' 'A default that reads *or the checkpoint'"'"'s* belongs to a field that decides masks: where neither command line nor spec gives it, labelling and evaluation take the value that the checkpoint holds.' > docs/spec.md
	$(PYTHON) -m mal spec --tables >> docs/spec.md

map: $(SETUP) ## write the map of files in docs/architecture.md anew from the docstrings
	$(PYTHON) -m tests.architecture_map

clean: ## remove what the tools wrote; the virtual environment stays
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov coverage.xml benchmarks/results
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
