# Two commands on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
CARGO ?= cargo

# Headers and tools that the build links against.
BUILD_PACKAGES := build-essential pkg-config libopus-dev libasound2-dev
# Real peers and instruments of the tests.
TEST_PACKAGES := baresip coturn kamailio kamailio-tls-modules rtpengine-daemon sip-tester tshark sox opus-tools pulseaudio pulseaudio-utils libasound2-plugins iproute2 iptables procps dnsmasq-base

# Installs what is missing of $(1) by apt where it may; elsewhere says the exact command and stops.
# Daemons among the peers must not start on all addresses while they are installed: policy-rc.d says no.
define install
	missing=""; \
	if command -v dpkg-query >/dev/null; then \
	  for package in $(1); do \
	    dpkg-query -W -f='$${Status}' "$$package" 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	  done; \
	  if [ -n "$$missing" ]; then \
	    sudo=""; \
	    if [ "$$(id -u)" != 0 ]; then \
	      if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo"; \
	      else echo "These system packages are missing; install them with:"; \
	        echo "  sudo apt-get install --no-install-recommends$$missing"; exit 1; fi; \
	    fi; \
	    echo "installing$$missing"; \
	    policy=/usr/sbin/policy-rc.d; made=""; \
	    if [ ! -e $$policy ]; then printf '#!/bin/sh\nexit 101\n' | $$sudo tee $$policy >/dev/null; $$sudo chmod +x $$policy; made=1; fi; \
	    trap 'if [ -n "$$made" ]; then '"$$sudo"' rm -f '"$$policy"'; fi' EXIT; \
	    $$sudo apt-get update -q >/dev/null; \
	    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$missing >/dev/null; \
	  fi; \
	elif ! pkg-config --exists opus 2>/dev/null; then \
	  echo "Opus and pkg-config are needed to build; on macOS: brew install opus pkg-config"; exit 1; \
	fi
endef

.PHONY: help
help: ## Lists the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.PHONY: deps
deps: ## Installs what the build needs
	@$(call install,$(BUILD_PACKAGES))
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: see https://rustup.rs"; exit 1; }

.PHONY: test-deps
test-deps: deps ## Installs the real peers of the tests
	@$(call install,$(TEST_PACKAGES))

.PHONY: build
build: deps ## Builds the release binary
	$(CARGO) build --release --locked

.PHONY: demo
demo: build ## Registers, calls, talks, measures and logs against a built-in far end
	./target/release/sidetone demo

.PHONY: check
check: deps ## Formatting, clippy and rustdoc, all without warnings; the build without sound devices
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) check --locked --no-default-features
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --quiet
	if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check licenses bans sources; \
	else echo "cargo-deny is not installed: licences are not checked"; fi

.PHONY: test
test: test-deps check ## Every test, real peers included
	if command -v cargo-nextest >/dev/null; then $(CARGO) nextest run --locked --no-fail-fast; \
	else $(CARGO) test --locked --lib --bins --tests --examples --no-fail-fast; fi
	$(CARGO) test --locked --doc --quiet

# How long each fuzz body runs, seconds, and how many random lives the nightly run lives.
LIVES ?= 10000
FUZZ_SECONDS := $(if $(filter command line,$(origin SECONDS)),$(SECONDS),600)

.PHONY: fuzz
fuzz: deps ## Every parser against damaged input, SECONDS each
	SIDETONE_FUZZ_SECONDS=$(FUZZ_SECONDS) $(CARGO) test --locked --test fuzz -- --nocapture

.PHONY: nightly
nightly: deps ## LIVES random lives of user agents and of engines, and the fuzzers for two minutes
	SIDETONE_LIVES=$(LIVES) $(CARGO) test --locked --test sim --test sim_engine random_life
	SIDETONE_FUZZ_SECONDS=120 $(CARGO) test --locked --test fuzz -- --nocapture

.PHONY: bench
bench: deps ## Micro-benchmarks: wire parser, transaction table, registrations, media tick; instructions
	$(CARGO) bench --locked

.PHONY: instructions
instructions: deps ## Counts instructions by valgrind, fails where they grew; ACCEPT=1 accepts the new numbers
	$(CARGO) bench --locked --bench instructions $(if $(ACCEPT),-- --accept)

# Speech quality of the playout against baresip's. ARGS="--ours" takes seconds: only our side, in virtual time.
QUALITY_VENV := target/quality-venv
ARGS ?=

$(QUALITY_VENV)/ready:
	python3 -m venv $(QUALITY_VENV)
	$(QUALITY_VENV)/bin/pip install --quiet pesq==0.0.4 speechmos==0.0.1.1 onnxruntime librosa soundfile scipy
	touch $@

.PHONY: quality
quality: build $(QUALITY_VENV)/ready ## PESQ and PLCMOS of our playout and of baresip's for the same packets
	@$(call install,baresip)
	$(QUALITY_VENV)/bin/python benches/playout.py $(ARGS)
