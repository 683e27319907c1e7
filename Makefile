# Each target does all its own set-up in .venv: Python 3.11 or newer, make and a C++ compiler are enough.
PYTHON ?= python3
# One known version, so that every developer tests the same; the package itself takes any from 2.8 on.
TORCH ?= torch==2.14.1
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

NATIVE_SOURCES := setup.py CMakeLists.txt $(shell find cmake csrc -type f) $(wildcard tests/emulation/*.[ch]*)
# A demonstration does not wait for CUDA kernels that nothing here could run.
DEMO_BUILD := $(if $(wildcard /proc/driver/nvidia/version),built,built-cpu)
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test test-all bench lint sanitize cuda-report gpu-check clean
.DELETE_ON_ERROR:

demo: $(VENV)/$(DEMO_BUILD)
	@$(BIN)/sparsefast info
	@$(BIN)/sparsefast demo --report demo

test: $(VENV)/built
	@$(PYTEST)

# The last -m wins over the one in pyproject.toml.
test-all: $(VENV)/built sanitize
	@$(PYTEST) -m ""

bench: $(VENV)/built
	@$(BIN)/sparsefast bench omp
	@$(BIN)/sparsefast bench patches
	@$(BIN)/sparsefast bench ksvd --quick

# Registers, shared memory, stack and spills of every CUDA kernel: nvcc alone. ARCHS=90 for one architecture.
cuda-report: $(VENV)/ready
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python benchmarks/cuda_resources.py $(if $(ARCHS),--archs $(ARCHS))

# On a machine with a GPU, without network: $(PYTHON) is the one that has PyTorch, and nothing is installed.
gpu-check:
	@$(PYTHON) benchmarks/gpu_check.py $(if $(RESULTS),--results $(RESULTS)) $(STAGES)

lint: $(VENV)/ready
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/clang-format --dry-run --Werror $$(find csrc tests -name '*.[ch]pp' -o -name '*.cu' -o -name '*.cuh')

# The core without Python, as std::thread instead of OpenMP (whose runtime thread sanitizer does not understand).
sanitize: $(VENV)/ready
	@$(call sanitize,address,address;undefined,sparsefast_sanitize_driver sparsefast_patches_driver sparsefast_ksvd_driver sparsefast_products_driver sparsefast_emulation_driver sparsefast_cuda_driver)
	@$(call sanitize,thread,thread,sparsefast_sanitize_driver sparsefast_patches_driver sparsefast_ksvd_driver sparsefast_products_driver)

define sanitize
export PATH="$(abspath $(BIN)):$$PATH"; folder=build/sanitize-$(1); mkdir -p build; echo "sanitize: $(2)"; \
cmake -S . -B $$folder -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSPARSEFAST_PYTHON=OFF -DSPARSEFAST_CUDA=OFF \
	-DSPARSEFAST_THREADS=std '-DSPARSEFAST_SANITIZE=$(2)' >$$folder.log 2>&1 \
&& cmake --build $$folder --target $(3) >>$$folder.log 2>&1 || { cat $$folder.log; exit 1; }; \
for driver in $(3); do $$folder/$$driver || exit 1; done
endef

clean:
	rm -rf build dist *.egg-info $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	rm -f sparsefast/_C.* sparsefast/_emulated.* sparsefast/_build.json
	find sparsefast kernels tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The environment: what the build, the package and its tests need, all from pyproject.toml.
$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sparsefast needs Python 3.11 or newer: make PYTHON=...")'
	@echo "setting up $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	q = p["project"]; e = q["optional-dependencies"]; \
	print(*p["build-system"]["requires"], *q["dependencies"], *e["bench"], *e["dev"], *e["photos"], *e["train"], sep="\n")' \
	> $(VENV)/requirements.txt
	@$(PIP) install '$(TORCH)' -r $(VENV)/requirements.txt
	@touch $@

# An editable install: Python files are used where they are, so only native sources make it necessary again.
INSTALL = PATH="$(abspath $(BIN)):$$PATH" $(PIP) install --no-build-isolation --no-deps --editable .

$(VENV)/built: $(VENV)/ready $(NATIVE_SOURCES)
	@echo "building sparsefast"
	@SPARSEFAST_CUDA_EMULATION=1 $(INSTALL)
	@touch $@ $(VENV)/built-cpu

$(VENV)/built-cpu: $(VENV)/ready $(NATIVE_SOURCES)
	@echo "building sparsefast without CUDA"
	@SPARSEFAST_CUDA=0 $(INSTALL)
	@touch $@
