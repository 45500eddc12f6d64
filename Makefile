# zero: build, demo, tests. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PROGRAMS := zerokeeper zeroproxy zeroagent zeroctl
MODULE   := github.com/zerokeeper/zero
# Empty outside of a git checkout: the programs then call themselves "dev".
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null)
LDFLAGS  := $(if $(VERSION),-X $(MODULE)/cli/daemon.Version=$(VERSION))
# Flags for `go build`, as in `make build BUILDFLAGS=-race`.
BUILDFLAGS ?=
GOBUILD  := go build $(BUILDFLAGS) -ldflags '$(LDFLAGS)'

ONCE     ?=
PARTS    ?=
FUZZTIME ?= 30s
DURATION ?= 1h
BENCH    ?= .
COUNT    ?= 6
ONLY     ?=
SEED     ?= 0
RUNS     ?= 1
FULL     ?=

.PHONY: help build control demo demo-control test unit e2e bench jepsen jepsen-build model verify tools deps fmt soak fuzz fuzz-smoke clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | sort | expand -t 15

build: ## bin/zerokeeper, bin/zeroproxy, bin/zeroagent, bin/zeroctl
	@mkdir -p bin
	$(GOBUILD) -o bin/ $(PROGRAMS:%=./cli/%)

demo: deps build ## the main job on one machine; ONCE=1 ends after the report
	go build -o bin/zerodemo ./jepsen/demo
	bin/zerodemo -bin bin -report demo-report.json $(if $(filter-out 0 false no,$(ONCE)),-once)

demo-control: deps build ## the demo with a proxy that holds nothing: ok only if clients saw errors
	@mkdir -p bin/control
	@for p in $(PROGRAMS); do ln -sf ../$$p bin/control/$$p || exit 1; done
	@rm -f bin/control/zeroproxy
	$(GOBUILD) -tags nohold -o bin/control/ ./cli/zeroproxy
	go build -o bin/zerodemo ./jepsen/demo
	.ci/demo-control.sh

test: ## all tests, with the seconds of each part; PARTS="unit e2e" picks
	@.ci/test.sh $(PARTS)

unit: ## the tests of all packages, with the race detector
	go test -race -shuffle=on -timeout 5m $$(go list ./... | grep -v '^$(MODULE)/jepsen/e2e')
	@# What raft's own race keeps from running above; it must not be skipped here.
	go test -count=1 -run '^TestAddressesChange$$' ./cluster
	go test -count=1 -tags faultpoint ./transport/faultpoint

e2e: build ## the end-to-end tests, with real processes
	ZERO_BIN=$(CURDIR)/bin go test -count=1 -shuffle=on -timeout 10m ./jepsen/e2e/...

jepsen-build: build
	go build -o bin/zerojepsen ./jepsen/zerojepsen
	bin/zerojepsen -build -bin bin

jepsen: deps jepsen-build ## break a quorum in every way; ONLY=G2 picks, SEED=7 repeats, RUNS=20 runs each so often, FULL=1 ONLY=G8 the whole matrix
	bin/zerojepsen -bin bin -only '$(ONLY)' -seed $(SEED) -count $(RUNS) $(if $(filter-out 0 false no,$(FULL)),-full) -report jepsen-report.json

model: ## search the model of the datasource switch: every scope must hold, every rule's removal be caught
	go run ./jepsen/zeromodel -all -trace=false

verify: tools ## gofmt, vet, staticcheck, module files, shell syntax
	@.ci/verify.sh

tools: ## bin/tools: staticcheck and benchstat, at the versions of jepsen/tools/go.mod
	@mkdir -p bin/tools
	@cd jepsen/tools && go build -o $(CURDIR)/bin/tools/ tool

bench: tools ## benchmarks of all packages; BENCH=regexp, COUNT=6; against bin/bench.old if it is there
	go test -run '^$$' -bench '$(BENCH)' -benchmem -count $(COUNT) ./... | tee bin/bench.new
	bin/tools/benchstat $$([ ! -e bin/bench.old ] || echo bin/bench.old) bin/bench.new

deps: ## install the Debian packages that the tests need; check Go
	@.ci/deps.sh

fmt: ## format the sources
	gofmt -w agent cli cluster fsm jepsen proxy transport

soak: deps jepsen-build ## everything again and again for DURATION (1h), until something fails
	go build -o bin/zerodemo ./jepsen/demo
	.ci/soak.sh $(DURATION)

fuzz: ## every fuzz target for FUZZTIME (30s); FUZZ=regexp picks
	.ci/fuzz.sh $(FUZZTIME)

fuzz-smoke: ## every fuzz target for a moment, 30 s in all without compilation
	.ci/fuzz.sh --budget 30

clean: ## remove what was built
	rm -rf bin demo-report.json jepsen-report.json jepsen-runs
