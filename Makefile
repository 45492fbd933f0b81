# Two commands for a fresh clone: `make demo` and `make test`. Everything lives in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run in parallel processes; threads inside each would only wait for each other.
WORKERS ?= auto
# One a core; 1 where there is a GPU.
PROCESSES ?= 2

# Models are converted for LiteRT in an environment of its own: 0.8 GB of ~/.cache and two minutes, once.
LITERT := $(VENV)/.litert-installed

.PHONY: demo demo-detect demo-all test lint docs test-search test-arm64 app-goldens test-ios typecheck-ios test-android check-android
.PHONY: test-slow test-faults train-demo clean check-extras test-wheel test-python313

demo: $(INSTALLED)
	$(BIN)/shvit-mobile demo --out artifacts/demo --overwrite

# The detector of the demo, with its average precision.
demo-detect: $(INSTALLED)
	$(BIN)/shvit-mobile demo --task detect --out artifacts/demo-detect --overwrite

# Every target, delegate and precision that can run here.
demo-all: $(INSTALLED) $(LITERT)
	$(BIN)/shvit-mobile demo --all --out artifacts/demo-all --overwrite

test: lint $(LITERT)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not arm64 and not faults"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site in build/site, in strict mode; in Chromium, if there is one, no page may overflow.
docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --group docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	$(BIN)/python tools/check_site.py build/site

# `make test` in an environment of its own, with Debian 13's Python 3.13 (65 MB of ~/.cache) or with PYTHON313=python3.13.
PYTHON313 ?= $$($(BIN)/python tools/debian_python.py)
test-python313: $(INSTALLED)
	python=$(PYTHON313) && $(MAKE) test VENV=build/python313 PYTHON="$$python"

test-slow: $(INSTALLED) $(LITERT)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not arm64 and not faults"

# Fifteen hundred damaged files, hundreds of invalid inputs, kills and signals, each in a process of its own. SEED=18 draws
# others; K selects cases: make test-faults K=manifest-12
SEED ?= 17
K ?=
test-faults: $(INSTALLED) $(LITERT)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -n $(WORKERS) --dist worksteal -m faults --seed $(SEED) -k "$(K)"

# New examples for every property-based test, a thousand each where the test does not say.
test-search: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m hypothesis --hypothesis-profile=search

# Linux. On x86 it first sets the emulation up, in half a gigabyte of ~/.cache; these tests fail where that is not there.
test-arm64: $(INSTALLED)
	$(BIN)/shvit-mobile doctor --install arm64
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m arm64

# The demo model with its goldens in both apps, whose tests read it. It is exported once, and again after a change.
APP_GOLDENS := build/app-goldens
EXPORT_INPUTS := $(shell find shvit_mobile cli -name '*.py') $(shell find shvit_mobile/demo -type f) pyproject.toml
EXPORTED := $(APP_GOLDENS)/.exported
IOS_MODELS := ios_demo/SHViTDemo/Models/embedded.json
ANDROID_MODELS := android_demo/app/src/main/assets/models/embedded.json
# Compares the pixels of the Swift code with Python's.
ONNX_MODEL := $(APP_GOLDENS)/onnx/shvit_s1-224-onnx-fp32.onnx

app-goldens: $(IOS_MODELS) $(ANDROID_MODELS)

$(EXPORTED): $(EXPORT_INPUTS) | $(INSTALLED)
	$(BIN)/shvit-mobile export --target executorch --quantize fp32 --quantize int8 --out $(APP_GOLDENS) --overwrite
	$(BIN)/shvit-mobile export --target coreml --quantize fp16 --out $(APP_GOLDENS) --overwrite
	touch $@

$(IOS_MODELS): $(EXPORTED)
	$(BIN)/shvit-mobile embed $(APP_GOLDENS)/*.pte $(APP_GOLDENS)/*.mlpackage --into ios_demo --overwrite
	touch $@

$(ANDROID_MODELS): $(EXPORTED)
	$(BIN)/shvit-mobile embed $(APP_GOLDENS)/*.pte --into android_demo --overwrite
	touch $@

$(ONNX_MODEL): $(EXPORT_INPUTS) | $(INSTALLED)
	$(BIN)/shvit-mobile export --target onnx --quantize fp32 --out $(@D) --overwrite
	touch $@

# The Swift package, with an installed Swift 6, or with Debian's, which takes 1.3 GB of ~/.cache.
SWIFT := $(BIN)/python tools/ios/swift.py
KIT := $(CURDIR)/ios_demo/SHViTKit
SWIFT_BUILD := $(CURDIR)/build/swift
# Files that the tests exchange with Python: decoded pictures, preprocessed pixels, reports.
test-ios: export SHVIT_EMBEDDED := required
test-ios: export SHVIT_PICTURES := $(SWIFT_BUILD)/pictures
test-ios: export SHVIT_PIXELS := $(SWIFT_BUILD)/pixels
test-ios: export SHVIT_REPORTS := $(SWIFT_BUILD)/reports
test-ios: app-goldens typecheck-ios $(ONNX_MODEL)
	$(SWIFT) format lint --strict --configuration ios_demo/.swift-format Package.swift
	$(SWIFT) format lint --strict --recursive $(KIT)/Sources $(KIT)/Tests ios_demo/SHViTDemo*
	$(SWIFT) format lint --strict --recursive --configuration ios_demo/.swift-format tools/ios/platform
	$(BIN)/python tools/ios/check_project.py
	$(BIN)/python tools/ios/check_package.py
	rm -rf $(SHVIT_PICTURES) $(SHVIT_PIXELS) $(SHVIT_REPORTS)
	$(BIN)/python tools/ios/decode_pictures.py $(SHVIT_PICTURES) schemas/fixtures ios_demo/SHViTDemo
	$(SWIFT) test --scratch-path $(SWIFT_BUILD) --jobs 2 --enable-code-coverage $(SWIFT_TEST)
	$(BIN)/python tools/ios/line_coverage.py $(SWIFT_BUILD)/debug/codecov/shvit-mobile.json $(KIT)/Sources 90
	$(BIN)/python tools/ios/judge_pixels.py $(SHVIT_PIXELS) ios_demo/SHViTDemo/Models $(ONNX_MODEL)
	$(BIN)/python tools/ios/judge_reports.py $(SHVIT_REPORTS) ios_demo/SHViTDemo/Models

# Optimized, because the tests hash whole models. On Linux, libswiftObservation lacks one of its own symbols, which it
# only calls when it fails (swiftlang/swift#75670).
SWIFT_TEST := -Xswiftc -warnings-as-errors -Xswiftc -O
SWIFT_TEST += $(if $(filter Linux,$(shell uname -s)),-Xlinker --allow-shlib-undefined)

# Checks code for Apple's frameworks against hand-written stubs: its types, what it does with cameras and pictures, and
# that both checks find mistakes. Runs the C++ target with the exporter's ExecuTorch.
typecheck-ios: $(INSTALLED)
	$(BIN)/python tools/ios/typecheck.py
	$(BIN)/python tools/ios/run_platform.py
	$(BIN)/python tools/ios/check_threads.py
	$(BIN)/python tools/ios/mistakes.py

# The Android project on Linux: tests the core, compiles library and app against Android's and ExecuTorch's classes,
# packages them, and runs them against classes that act like those. Planted mistakes must be found. The tools take 190 MB
# of ~/.cache, and 490 MB with a JDK.
test-android: export SHVIT_EMBEDDED := required
test-android: app-goldens
	$(BIN)/python tools/android/check_core.py
	$(MAKE) -o $(INSTALLED) check-android

check-android: $(INSTALLED)
	$(BIN)/python tools/android/check_modules.py --plant

# pip finds versions for each extra in a fresh environment, and says how long it takes; nothing is installed.
EXTRAS := onnx executorch coreml all models peers litert coreai ray heic detection
check-extras: $(INSTALLED)
	rm -rf build/extras && $(PYTHON) -m venv build/extras
	build/extras/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	set -e; for extra in $(EXTRAS); do begin=$$(date +%s); \
	    timeout 600 build/extras/bin/python -m pip install --quiet --dry-run $(TORCH_INDEX) torch==2.13.0 ".[$$extra]"; \
	    echo "$$extra resolves in $$(($$(date +%s) - begin)) s"; done

# The wheels in a fresh environment, without the source tree: with ONNX alone, and with everything.
test-wheel: $(INSTALLED)
	rm -rf build/lib build/wheels build/wheel-env && $(PYTHON) -m venv build/wheel-env
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir build/wheels . packaging/shvit-mobile
	build/wheel-env/bin/python -m pip install --quiet $(TORCH_INDEX) torch==2.13.0
	$(BIN)/python tools/check_wheel.py build/wheels build/wheel-env

train-demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/torchrun --nproc-per-node $(PROCESSES) tools/train_demo.py --data $(DATA) --out runs/demo

# torch comes first and alone: PyPI's newest build would pull gigabytes of CUDA libraries where the CPU's suffices.
$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet $(TORCH_INDEX) torch==2.13.0
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --group dev --editable ".[all]"
	touch $@

$(LITERT): shvit_mobile/environments.py | $(INSTALLED)
	$(BIN)/shvit-mobile doctor --install litert
	touch $@

clean:
	rm -rf $(VENV) artifacts runs build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
