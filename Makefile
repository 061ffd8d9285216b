# SPDX-License-Identifier: Apache-2.0
# Everyday verbs; `make help` lists them. CMake does the building (CMakePresets.json), tools/ the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PRESET ?= release
TARGET ?= all
SEED ?= 200
# The whole-system tests mostly wait: three files of them at a time, each with a shop of its own.
PYTEST = .venv/bin/python -m pytest -q -n 3 --dist loadfile tests
export CMAKE_C_COMPILER_LAUNCHER ?= $(shell command -v ccache)

.PHONY: help deps build run stop logs status clean-run test test-unit test-api test-asan test-tsan lint lint-chart asan bench fuzz coverage rootfs image backing-image test-image test-kubernetes clean

help: ## this list
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

deps: ## install what is missing: Debian's packages, the tests' tools, Swagger UI
	@tools/deps

build: ## build everything (PRESET=release|dev|asan|tsan|coverage|fuzz)
	@cmake --preset $(PRESET) >build-$(PRESET).log 2>&1 || { cat build-$(PRESET).log; exit 1; }; rm -f build-$(PRESET).log
	@cmake --build build/$(PRESET) --target $(TARGET)

run: ## start the shop: install what is missing, build, migrate, seed (SEED=200), check a purchase
	@tools/deps build run
	@$(MAKE) --no-print-directory build PRESET=$(PRESET) TARGET=programs
	@tools/shop.py run --build build/$(PRESET) --seed $(SEED)

stop: ## stop the shop; its data stays
	@tools/shop.py stop

status: ## what runs, and whether it is ready
	@tools/shop.py status

logs: ## follow the logs
	@tools/shop.py logs

clean-run: ## stop the shop and forget its data
	@tools/shop.py clean

test: deps test-unit test-api test-asan ## all tests: units, the whole system, both under the sanitizers

test-unit: ## unit tests (CMocka)
	@$(MAKE) --no-print-directory build PRESET=dev
	@tools/with-servers --rabbitmq ctest --test-dir build/dev --output-on-failure -j2

test-api: ## whole-system tests (pytest)
	@$(MAKE) --no-print-directory build PRESET=dev
	@BUILD=build/dev $(PYTEST)

asan test-asan: ## units and whole system under AddressSanitizer and UndefinedBehaviorSanitizer
	@$(MAKE) --no-print-directory build PRESET=asan
	@tools/with-servers --rabbitmq ctest --test-dir build/asan --output-on-failure -j2
	@BUILD=build/asan $(PYTEST)

test-tsan: ## units where threads meet, under ThreadSanitizer
	@$(MAKE) --no-print-directory build PRESET=tsan
	@tools/with-servers --rabbitmq ctest --test-dir build/tsan --output-on-failure -R '^(log|metrics|fiber|auth|redis|upstream)_'

lint: ## formatting, static analysis, shell scripts, the packages' order
	@tools/deps lint test
	@tools/lint

lint-chart: ## the Helm chart, k8s/ and .github/workflows alone: unit tests, the API's schemas, good practice, drift; builds what it needs with Go
	@tools/deps test
	@tools/chart-tools --build
	@tools/lint-chart

coverage: ## line coverage of pkg/ by the unit tests (at least 85 %)
	@tools/deps build run test
	@$(MAKE) --no-print-directory build PRESET=coverage
	@tools/with-servers --rabbitmq ctest --test-dir build/coverage --output-on-failure -j2
	@.venv/bin/gcovr --root . --filter 'pkg/' --exclude '.*(_test|_bench|test_server|bench_server)\.c|.*testing\.h' \
		--merge-mode-functions=separate --gcov-ignore-parse-errors=suspicious_hits.warn \
		--print-summary --fail-under-line 85 build/coverage

fuzz: ## each fuzzer for FUZZ_SECONDS=60
	@$(MAKE) --no-print-directory build PRESET=fuzz
	@tools/fuzz

bench: ## our services beside a Go peer: requests/s, latency, CPU and memory a request
	@tools/deps build run test
	@$(MAKE) --no-print-directory build PRESET=release
	@tests/bench/run

rootfs: ## pack the image's root: build/image/rootfs.tar, the same bytes for the same commit
	@tools/deps build image
	@$(MAKE) --no-print-directory build PRESET=release TARGET=programs
	@tools/rootfs.py

image: rootfs ## build the image bodega:VERSION with Docker
	@tools/image

backing-image: ## build bodega-backing:VERSION: PostgreSQL, Redis and RabbitMQ (BASE=debian:bookworm-slim)
	@tools/image backing

test-image: rootfs ## what the image holds; where there is Docker, how it runs, and the shop under compose
	@tools/deps test
	@if docker version >/dev/null 2>&1; then tools/image && tools/image backing; fi
	@.venv/bin/python -m pytest -q tests/image

test-kubernetes: ## the chart on a real cluster: that of KUBECONFIG, or ../shared/cluster (TESTS=tests/kubernetes/test_x.py: those alone)
	@tools/deps build image test
	@tests/kubernetes/run $(TESTS)

clean: ## remove what was built
	@rm -rf build
