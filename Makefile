# Two commands for a fresh clone: `make demo` and `make test`. Everything lives in .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Tests run in parallel processes; threads inside each would only wait for each other.
WORKERS ?= auto
# One a core; 1 where there is a GPU.
PROCESSES ?= 2

.PHONY: demo test lint docs test-search test-arm64 app-goldens test-ios typecheck-ios test-android check-android
.PHONY: test-slow train-demo clean

demo: $(INSTALLED)
	$(BIN)/shvit-mobile demo --out artifacts/demo --overwrite

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow and not arm64"

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

test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not arm64"

# New examples for every property-based test, a thousand each where the test does not say.
test-search: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m hypothesis --hypothesis-profile=search

# Linux. On x86 it first sets the emulation up, in half a gigabyte of ~/.cache; these tests fail where that is not there.
test-arm64: $(INSTALLED)
	$(BIN)/shvit-mobile doctor --install arm64
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m arm64

# The demo model with its goldens inside the two apps. Their tests read them, and fail where they are not there.
APP_GOLDENS := build/app-goldens
app-goldens: $(INSTALLED)
	$(BIN)/shvit-mobile export --target executorch --quantize fp32 --quantize int8 --out $(APP_GOLDENS) --overwrite
	$(BIN)/shvit-mobile export --target coreml --quantize fp16 --out $(APP_GOLDENS) --overwrite
	$(BIN)/shvit-mobile embed $(APP_GOLDENS)/*.pte $(APP_GOLDENS)/*.mlpackage --into ios_demo --overwrite
	$(BIN)/shvit-mobile embed $(APP_GOLDENS)/*.pte --into android_demo --overwrite

# The Swift package of the iOS app, with the machine's own Swift 6, else with Debian's in 1.3 GB of ~/.cache.
SWIFT := $(BIN)/python tools/ios/swift.py
KIT := $(CURDIR)/ios_demo/SHViTKit
# What the tests take from Python and hand to it: decoded pictures, the pixels made of them, reports.
test-ios: export SHVIT_EMBEDDED := required
test-ios: export SHVIT_PICTURES := $(KIT)/.build/pictures
test-ios: export SHVIT_PIXELS := $(KIT)/.build/pixels
test-ios: export SHVIT_REPORTS := $(KIT)/.build/reports
test-ios: app-goldens typecheck-ios
	$(SWIFT) format lint --strict --recursive $(KIT)/Package.swift $(KIT)/Sources $(KIT)/Tests ios_demo/SHViTDemo*
	$(BIN)/python tools/ios/check_project.py
	rm -rf $(SHVIT_PICTURES) $(SHVIT_PIXELS) $(SHVIT_REPORTS)
	$(BIN)/python tools/ios/decode_pictures.py $(SHVIT_PICTURES) schemas/fixtures ios_demo/SHViTDemo
	$(SWIFT) test --package-path $(KIT) --jobs 2 --enable-code-coverage $(SWIFT_TEST)
	$(BIN)/python tools/ios/line_coverage.py $(KIT)/.build/debug/codecov/SHViTKit.json $(KIT)/Sources 90
	$(BIN)/shvit-mobile export --target onnx --quantize fp32 --out $(APP_GOLDENS) --overwrite
	$(BIN)/python tools/ios/judge_pixels.py $(SHVIT_PIXELS) ios_demo/SHViTDemo/Models $(APP_GOLDENS)/*.onnx
	$(BIN)/python tools/ios/judge_reports.py $(SHVIT_REPORTS) ios_demo/SHViTDemo/Models

# Optimised, since tests hash whole models. On Linux, libswiftObservation lacks a symbol of its own, which it would call
# only where it fails (swiftlang/swift#75670).
SWIFT_TEST := -Xswiftc -warnings-as-errors -Xswiftc -O
SWIFT_TEST += $(if $(filter Linux,$(shell uname -s)),-Xlinker --allow-shlib-undefined)

# What only Apple's systems compile, against interfaces written from Apple's documentation; and whether that finds mistakes.
typecheck-ios: $(INSTALLED)
	$(BIN)/python tools/ios/typecheck.py
	$(BIN)/python tools/ios/mistakes.py

# The Android project on Linux: the core's tests, then library and app compiled against Android's and ExecuTorch's
# classes, and packaged. Kotlin's compiler, those classes, what packages, JUnit and, where there is none, a JDK take 190
# to 490 MB of ~/.cache.
test-android: export SHVIT_EMBEDDED := required
test-android: app-goldens
	$(BIN)/python tools/android/check_core.py
	$(MAKE) -o $(INSTALLED) check-android

check-android: $(INSTALLED)
	$(BIN)/python tools/android/check_modules.py --plant

train-demo: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/torchrun --nproc-per-node $(PROCESSES) tools/train_demo.py --data $(DATA) --out runs/demo

# torch comes first and alone: PyPI's newest build would pull gigabytes of CUDA libraries where the CPU's suffices.
$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet $(TORCH_INDEX) torch==2.13.0
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --group dev --editable .
	touch $@

clean:
	rm -rf $(VENV) artifacts runs build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
