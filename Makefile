# Everything runs in a virtual environment of its own; the first target that needs it creates it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed-from-pyproject
# Small matrices: a BLAS that starts one thread per core for each of several processes is slower, not faster.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1

.PHONY: help install demo test quality test-deep deep-fuzz deep-rest figures figures-check studies docs lint portability bench clean

help:
	@echo 'make install        set up .venv (1.2 GB, half a minute with a fast network); every target does so by itself'
	@echo 'make demo           three figures and the headline theorems, into demo/ (half a minute)'
	@echo 'make test           tests/ without tests/quality, and theory/ (some 5 minutes on two cores)'
	@echo 'make quality        the quick part of tests/quality: planted errors, hostile input, packaging (2 minutes of processor time)'
	@echo 'make test-deep      both with every long variant, planted error and mutant (under an hour on two cores)'
	@echo 'make figures        remake every committed figure and its table'
	@echo 'make figures-check  recompute a part of every committed table and compare'
	@echo 'make studies        rerun the studies of experiments/studies and rewrite their page (minutes)'
	@echo 'make docs           the site, into docs/_build/html: a page per statement, gallery, API (80 s of processor time)'
	@echo 'make bench          run every script of benchmarks/, peers, limits, an older tree, and rewrite the records (an hour)'
	@echo 'make portability    the same verdicts and tables on a second and a third machine made of this one (4 minutes)'
	@echo 'make lint           ruff and mypy'

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else "Python >= 3.11 is needed, $(PYTHON) is %d.%d; try: make PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,lint,fast]'
	@touch $(STAMP)

demo: $(STAMP)
	@$(ONE_THREAD) $(BIN)/exactdiffusion demo --out demo

# One worker per core, and tests are handed out one at a time. RECORDS=DIR keeps what the theory checks measured, for
# `exactdiffusion verify --check --from DIR`.
RECORDS ?=
test: $(STAMP)
	@$(ONE_THREAD) $(BIN)/python -m pytest tests theory -n auto --dist loadgroup $(if $(RECORDS),--records $(RECORDS))

# What checks the checks and the package. Without --deep: every fourth of the quick planted errors, the same 60 examples of hostile
# input per entry point in each run, the wheel and the sdist outside the checkout, the index of references. The planted errors run
# alone: their one fixture forks a process per core itself, and every worker of pytest-xdist would make it again.
quality: $(STAMP)
	@$(ONE_THREAD) $(BIN)/python -m pytest tests/quality --ignore tests/quality/planted -n auto --dist loadgroup; first=$$?; \
	$(ONE_THREAD) $(BIN)/python -m pytest tests/quality/planted && exit $$first

# Two processes share the first part; the second forks a process per core itself. Output comes target by target where make can.
SYNC := $(if $(filter output-sync,$(.FEATURES)),-Otarget)
DEEP := $(ONE_THREAD) $(BIN)/python -m pytest --deep
test-deep: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,mutation]'
	@echo 'fuzzing beside the rest of the tests (some 20 minutes without a word), then planted errors and mutants'
	@$(MAKE) --no-print-directory --jobs=2 --keep-going $(SYNC) deep-fuzz deep-rest; first=$$?; $(DEEP) tests/quality/planted && exit $$first

deep-fuzz:
	@$(DEEP) tests/quality/test_fuzz.py
deep-rest:
	@$(DEEP) tests theory; first=$$?; $(DEEP) tests/quality --ignore tests/quality/test_fuzz.py --ignore tests/quality/planted && exit $$first

figures: $(STAMP)
	@$(ONE_THREAD) $(BIN)/exactdiffusion figures --all

figures-check: $(STAMP)
	@$(ONE_THREAD) $(BIN)/exactdiffusion figures --all --check

studies: $(STAMP)
	@for file in experiments/studies/*.toml; do echo "== $$file"; \
	$(ONE_THREAD) $(BIN)/exactdiffusion sweep $$file --jobs 2 --out $${file%.toml} || exit 1; done
	@$(BIN)/python experiments/studies/_page.py

# Warnings are errors. Nothing is computed: the pages are made from the registry, the committed records and the committed pictures.
# `make docs FROM=DIR` shows on each page, too, what the run measured that `exactdiffusion verify --records DIR` kept.
FROM ?=
docs: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@DOCS_FROM=$(abspath $(FROM)) $(ONE_THREAD) $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs docs/_build/html
	@echo 'open docs/_build/html/index.html'

lint: $(STAMP)
	@$(BIN)/python -m ruff check src tests theory experiments benchmarks docs .ci
	@$(BIN)/python -m ruff format --check --quiet src tests theory experiments benchmarks docs .ci
	@$(BIN)/python -m mypy

# RECORDS=DIR: what `make test RECORDS=DIR` left takes the place of the run on this machine.
portability: $(STAMP)
	@$(ONE_THREAD) $(BIN)/python .ci/portability.py $(if $(CI),--all) $(if $(RECORDS),--from $(RECORDS))

bench: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,fast]'
	@for script in $(filter-out benchmarks/evidence_diff.py,$(wildcard benchmarks/[a-z]*.py)); do echo "== $$script"; $(ONE_THREAD) $(BIN)/python $$script || exit 1; done
	@$(BIN)/python benchmarks/_page.py

clean:
	rm -rf $(VENV) build dist demo figures/quick docs/_build docs/generated
