# Everything a developer types. CI runs `make test` and nothing else.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools and servers that are installed once for all checkouts, outside target/ and its cleaning.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/server-group-operator

CARGO_DENY_VERSION := 0.20.2
CARGO_DENY := $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION)/bin/cargo-deny

# Most tests wait for servers rather than for the processor.
export RUST_TEST_THREADS ?= 8

# How long each part took, for the table at the end of `make test`.
PARTS := .run/parts

# $(call part,NAME,COMMAND): says what begins, and how long it took.
part = echo "==> $(1)"; $(2); mkdir -p .run; \
	printf '%6d s  %s\n' $$SECONDS "$(1)" | tee -a $(PARTS)

# What the operator asked of API servers meanwhile is held against the rights that are shipped.
AUDIT := $(CURDIR)/.run/audit
run-tests = $(call part,tests,rm -rf $(AUDIT); \
	CONTROL_PLANE_AUDIT=$(AUDIT) .ci/cargo-test --workspace --locked --no-fail-fast)
rights-in-use = $(call part,rights in use,tests/installation/rights.py $(AUDIT))

# The bench as far as it can fail, with what the tests were built of: to build anything else would take longer than to measure it.
many-objects = cargo build --quiet --workspace --all-targets --locked; \
	built=$${CARGO_TARGET_DIR:-target}/debug; \
	$$built/capacity --operator $$built/server-group-operator --brief 250 1000

# Built as what plays schedules is, with which it shares all it needs: ten thousand objects take a minute of the processor even so.
many-in-virtual-time = cargo test --quiet --locked --profile simulation --package simulation --test many

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: ## Check everything, as CI does; the first run also builds its tools
	@rm -f $(PARTS)
	@# The servers are built by another compiler, so the first lints need not wait for them.
	@$(MAKE) --no-print-directory --jobs=2 control-plane installation-tools promtool lint
	@$(run-tests)
	@$(rights-in-use)
	@# Alone: processor time is part of it.
	@$(call part,many objects,$(many-objects))
	@$(call part,installation,tests/installation/run.sh)
	@$(call part,simulation built,$(MAKE) --no-print-directory simulation)
	@$(call part,3000 schedules,$(SIMULATION) --schedules 3000)
	@$(call part,single faults,$(SIMULATION) --single)
	@# One of the two plays on one processor alone, and the other one waits for other programs. The simulator is built.
	@SIMULATOR=$(abspath $(or $(CARGO_TARGET_DIR),target))/debug/server-group-sim \
		$(MAKE) --no-print-directory --jobs=2 --output-sync=target many-in-virtual-time sdk-test
	@$(call part,schedules twice,$(MAKE) --no-print-directory simulate-twice)
	@$(call part,recorded requests,cargo test --workspace --locked --test vectors -- --nocapture | grep ' left out')
	@echo; grep --invert-match '^ *0 s' $(PARTS); echo; cat .run/summary

.PHONY: lint
lint: $(CARGO_DENY) ## Format, clippy, documentation and its links, the places of the sabotages, licences and sources, what the product contains
	@$(call part,format,cargo fmt --all --check)
	@$(call part,clippy,cargo clippy --workspace --all-targets --locked -- --deny warnings; \
		cargo clippy --package simulation --test many --locked -- --deny warnings)
	@# For people who work here: private items are shown, so public ones may point at them.
	@$(call part,docs,RUSTDOCFLAGS='--deny warnings --allow rustdoc::private-intra-doc-links' \
		cargo doc --workspace --no-deps --document-private-items --locked)
	@$(call part,links,.ci/links)
	@$(call part,sabotages,tests/simulation/sabotage/sabotage.py --check)
	@# All crates of the lock file, also those for other systems: deny reads their licences.
	@$(call part,deny,cargo fetch --locked; $(CARGO_DENY) --offline --locked check bans licenses sources)
	@$(call part,product without simulator,.ci/product-is-free-of server-group-sim control-plane)

.PHONY: tests
tests: control-plane installation-tools promtool ## Unit, property, integration and documentation tests, with a sum at the end
	@$(run-tests)
	@$(rights-in-use)
	@cat .run/summary

.PHONY: fmt
fmt: ## Format the code
	@cargo fmt --all

.PHONY: control-plane
control-plane: ## Install the pinned etcd, kube-apiserver, kube-controller-manager and kubectl
	@$(call part,control plane,tests/control-plane/install.sh)

.PHONY: installation-tools
installation-tools:
	@$(call part,installation tools,tests/installation/install.sh)

.PHONY: installation
installation: control-plane installation-tools ## Install it as docs/install.md says, with helm and kubectl; TESTS="test_rendering" for some
	@cargo build --quiet --workspace --bins --locked
	@$(call part,installation,tests/installation/run.sh $(TESTS))

.PHONY: image
image: ## Build the image, static and reproducible, as an OCI layout in target/image, with its list of parts
	@deploy/image/build.sh

.PHONY: promtool
promtool: ## Install Debian's promtool, with which the alerts are tested
	@$(call part,promtool,tests/monitoring/install.sh)

.PHONY: tools
tools: $(CARGO_DENY) ## Install the pinned tools that `make lint` runs

# Compiled in a hurry: it runs for a second, and optimised it would take minutes longer to build.
$(CARGO_DENY):
	@mkdir -p $(CACHE)
	@$(call part,install cargo-deny,flock $(CACHE)/tools.lock env --unset=CARGO_TARGET_DIR \
		CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		cargo install cargo-deny --version $(CARGO_DENY_VERSION) --locked --no-default-features \
		--root $(CACHE)/tools/cargo-deny-$(CARGO_DENY_VERSION))

.PHONY: generate
generate: ## Write crds/, the copies that the charts have, and docs/metrics.md anew
	@cargo run --quiet --locked -- crds --write crds
	@cp crds/*.yaml charts/server-group-operator-crds/files/
	@cp deploy/monitoring/alerts.yaml deploy/monitoring/dashboard.json charts/server-group-operator/files/
	@cargo run --quiet --locked -- metrics > docs/metrics.md

.PHONY: demo
demo: ## Start everything, show what the operator does on the examples, end everything
	@deploy/dev/dev.sh demo

.PHONY: up
up: ## Start a control plane, the simulated cloud and the operator, and leave them running
	@deploy/dev/dev.sh up

.PHONY: down
down: ## End what `make up` started
	@deploy/dev/dev.sh down

.PHONY: sdk-test
sdk-test: ## Drive the simulated cloud with the vendor's own SDKs; the first run installs them
	@$(call part,vendor SDKs,crates/sim/sdk-test/run.sh)

.PHONY: many-in-virtual-time
many-in-virtual-time:
	@$(call part,many in virtual time,$(many-in-virtual-time))

.PHONY: sim
sim: ## Run the simulated cloud by hand
	@cargo run --quiet --locked --package server-group-sim --bin server-group-sim

SIMULATION = $${CARGO_TARGET_DIR:-target}/simulation/simulation

.PHONY: simulation
simulation:
	@cargo build --quiet --locked --profile simulation --package simulation

.PHONY: simulate
simulate: simulation ## Play the operator in virtual time; SCHEDULES=n SEED_FROM=n WORKLOADS=a,b SEED=n PLAN=file, see docs/simulation.md
	@$(SIMULATION)

.PHONY: simulate-twice
simulate-twice: simulation ## Play 200 schedules in two processes: the same seed is the same schedule
	@diff <($(SIMULATION) --digests --schedules 200) <($(SIMULATION) --digests --schedules 200)

# A copy of the tree is built, and thousands of schedules are played: not part of `make test`.
.PHONY: sabotage
sabotage: ## Break the operator on purpose, in a copy, and see that the simulation notices; ONLY="name name" for some
	@tests/simulation/sabotage/sabotage.py $(ONLY)

# How many objects, of ten members each, `make capacity` measures the operator with.
SIZES ?= 1000 2000 4000 10000

.PHONY: bench
bench: ## Print what many objects cost, and how many calls things take
	@# The second is worth reading also where the first missed a goal.
	@$(MAKE) --no-print-directory --keep-going capacity counts

.PHONY: capacity
capacity: control-plane ## Print what 1,000 to 10,000 objects cost, in processor time and memory; SIZES="1000" for less
	@cargo build --release --locked
	@OPERATOR=$${CARGO_TARGET_DIR:-target}/release/server-group-operator \
		cargo run --quiet --profile bench --locked --package capacity -- $(SIZES)

.PHONY: counts
counts: control-plane ## Print how many calls, reads and writes things take; the tests gate the same figures
	@{ cargo test --locked --test it -- counts:: --nocapture --test-threads 1 && \
		$(many-in-virtual-time) -- reads:: --nocapture --test-threads 1 && \
		cargo test --locked --test scale -- --nocapture --test-threads 1; } 2>&1 | awk -F ' *[|] *' ' \
		BEGIN { printf "%-50s %6s %6s %6s  %s\n", "", "floor", "ours", "ratio", "others" } \
		/count [|]/ { sub("floor *", "", $$3); sub("ours *", "", $$4); \
			printf "%-50s %6s %6s %6s  %s\n", $$2, $$3, $$4, $$5, $$6 } \
		/panicked|^error|test result/ { print }'

.PHONY: clean
clean: ## Remove what was built here; installed tools and servers stay
	@cargo clean
	@rm -rf .run
