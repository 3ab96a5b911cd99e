# Each target builds .venv from constraints.txt when it is missing; a fresh machine needs Python >= 3.10, make and git.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
READY ?= ready
PHANTOMS := --contrast mixed --variety 1 --scheme spine --force
WEIGHTS := plugins/ready/src/spine_ignite_ready/ready.safetensors
JOBS ?= auto
BENCHMARKS := startup trainer_overhead augmentation loss attention every_model prediction_memory evaluation compare memory growth gpu
ON_VOLUMES := nnunet_training nnunet_preprocessing nnunet_prediction precision architectures time_to_dice label_grid

.PHONY: install demo ready test cluster lint audit bench stress clean

install: .venv/.installed

.venv/.installed: constraints.txt pyproject.toml plugins/requirements.txt $(wildcard plugins/*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "spine-ignite needs Python 3.10 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation \
		-e '.[dev]' -r plugins/requirements.txt
	@touch $@

demo: install
	$(BIN)/spine-ignite phantom $(DEMO)/data --train 18 --test 4 --force
	$(BIN)/spine-ignite check $(DEMO)/data
	$(BIN)/spine-ignite preprocess $(DEMO)/data --config configs/demo.yaml
	$(BIN)/spine-ignite train --config configs/demo.yaml --data $(DEMO)/data --out $(DEMO)/run --force
	$(BIN)/spine-ignite evaluate $(DEMO)/run
	$(BIN)/spine-ignite report $(DEMO)/run
	$(BIN)/spine-ignite predict $(DEMO)/run $(DEMO)/data/test/source -o $(DEMO)/predictions
	@echo
	@echo "The run on a page, to open in a browser: $(DEMO)/run/report.html"
	@echo "Pictures of reference and prediction: $(DEMO)/run/evaluation/test/pictures"
	@echo "Predicted label volumes:              $(DEMO)/predictions"
	@echo "Training curves:                      $(BIN)/tensorboard --logdir $(DEMO)/run/tensorboard"

# The network of plugins/ready, from phantoms alone; what was stopped goes on where it was. READY=folder says where.
ready: $(READY)/.trained
	$(BIN)/spine-ignite evaluate $(READY)/run
	$(BIN)/spine-ignite export $(READY)/run --half -o $(WEIGHTS)

$(READY)/.phantoms: | install
	$(BIN)/spine-ignite phantom $(READY)/lumbar $(PHANTOMS) --train 280 --test 20 --view lumbar --seed 1
	$(BIN)/spine-ignite phantom $(READY)/any $(PHANTOMS) --train 280 --test 0 --view any --seed 2
	@touch $@

$(READY)/.trained: $(READY)/.phantoms | install
	@if [ -f $(READY)/run/config.yaml ]; then $(BIN)/spine-ignite train --resume $(READY)/run; else \
		$(BIN)/spine-ignite train --config configs/ready.yaml --data $(READY)/lumbar \
		--set 'data.also=[{"root": "$(READY)/any", "name": "any"}]' --out $(READY)/run; fi
	@touch $@

# One process a core, each with one thread: two that share the cores of a machine would wait for each other.
test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --cov --cov-report=term:skip-covered

# Trainings and studies on Slurm itself, which runs on this machine for as long (Debian: slurm-wlm and munge; as root).
cluster: install
	OMP_NUM_THREADS=1 REQUIRE_SLURM=1 $(BIN)/python -m pytest tests/cluster

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive spine_ignite $(wildcard plugins/*/src)

# Known vulnerabilities of the pinned packages; asks the Python package index, and fails where that does not answer.
audit:
	$(PYTHON) -m venv .audit
	.audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

# The benchmarks of speed and memory; with LUMBAR=folder those on real volumes too. nnU-Net and kornia are installed beside.
bench: install
	@mkdir -p benchmarks/results
	@for name in $(BENCHMARKS); do echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json || exit 1; done
	@if [ -n "$(LUMBAR)" ]; then for name in $(ON_VOLUMES); do echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py "$(LUMBAR)" --out benchmarks/results/$$name.json || exit 1; done; fi

# Hours of malice: killed trainings, crowds of processes, damaged files, a long training that is watched.
stress: install
	@mkdir -p benchmarks/results
	@for name in kills concurrency determinism short_reads fuzz soak; do echo "== $$name"; \
		$(BIN)/python benchmarks/$$name.py --out benchmarks/results/$$name.json || exit 1; done

clean:
	rm -rf .venv .audit .coverage .mypy_cache .pytest_cache .ruff_cache demo ready
