# foo-sidecar: everything that is done to this repository more than once.
# Needs Go, git and GNU make 3.81 or later; "make test" wants a C compiler too,
# for the race detector. "make" alone lists what there is.

.DEFAULT_GOAL := help
.SUFFIXES:
.DELETE_ON_ERROR:

GO ?= go
MODULE := github.com/foo-protocol/foo-sidecar
# What tests need that is no Go module, as PACKAGE:PROGRAM, and how the Debian
# packages are called as well; PACKAGE is below test/observability.
TESTED_WITH := prometheus:prometheus browser:chromium
# Each directory with a go.mod of its own that the targets below take care of.
MODULES := . tools test/observability

VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),devel)
LDFLAGS := -s -w -X $(MODULE)/internal/cli.version=$(VERSION)

# OS and ARCH choose what to build for, and count on the command line alone:
# Windows exports OS=Windows_NT, and some shells export ARCH.
cross_env :=
ifeq ($(origin OS),command line)
cross_env += GOOS=$(OS)
endif
ifeq ($(origin ARCH),command line)
cross_env += GOARCH=$(ARCH)
endif

# What the old proxy's users know, on the command line or in the environment.
FORWARDING_PORT ?= :8001
LISTENING_PORT ?= :8002
HTTP_ADDRESS ?= 0.0.0.0:8088
RECOVERY_PATH ?= .data/recovery.json
# More flags for run and deploy; the signal for kill and docker-kill.
args ?=

# What to test, and how. BENCH is for microbench.
PKG ?= ./...
TESTFLAGS ?=
BENCH ?= .
FUZZTIME ?= 10s

##@ First steps

.PHONY: help
help: ## list the targets
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET [VARIABLE=VALUE ...]" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z-]*:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
	@printf '\nvariables of run and deploy, with their defaults:\n'
	@printf '  %-16s %s\n' FORWARDING_PORT '$(FORWARDING_PORT)' LISTENING_PORT '$(LISTENING_PORT)' \
		HTTP_ADDRESS '$(HTTP_ADDRESS)' RECOVERY_PATH '$(RECOVERY_PATH)' args 'more flags; the signal of kill'

.PHONY: run
run: build ## start a Foo server, the sidecar and a client, and watch; Ctrl-C ends all
	@exec bin/foo demo --sidecar bin/sidecar --listen '$(LISTENING_PORT)' --forward '$(FORWARDING_PORT)' \
		--http '$(HTTP_ADDRESS)' --recovery-path '$(RECOVERY_PATH)' $(args)

.PHONY: kill
kill: ## signal the sidecar of "make run": make kill args=-SIGUSR2 prints its statistics there
	@deploy/signal.sh .data/sidecar.pid $(args)

.PHONY: build
build: ## build the binaries into bin/, for OS= and ARCH= if given
	@mkdir -p bin
	CGO_ENABLED=0 $(cross_env) $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

##@ Tests

# The race detector needs a C compiler that works, and not every system has it:
# the way to know is to try. Two packages test against programs that Go can't
# bring along; where one is missing, its package is left out, and that is said.
# They run one after the other, because each of them keeps a machine busy.
.PHONY: test
test: ## run all tests, race detector on: PKG=./pkg/proxy TESTFLAGS='-run Drain'
	@if why=$$($(GO) build -race runtime/race 2>&1); then race=-race; else race=; fi; \
	without=; for program in $(TESTED_WITH); do \
		command -v $${program#*:} >/dev/null || without="$$without $$program"; done; \
	warn() { test -n "$$race" || printf '%s\n' \
		'' '*** The tests run WITHOUT the race detector, which can not be built here:' "*** $$why" \
		'*** Install a C compiler (Debian: apt-get install gcc libc6-dev) for the full tests.' ''; \
		for program in $$without; do printf '%s\n' \
		'' "*** The tests in test/observability/$${program%:*} are NOT RUN: there is no $${program#*:} here." \
		"*** Install it (Debian: apt-get install $${program#*:}) for the full tests." ''; done; }; \
	warn; status=0; \
	for module in $(if $(filter ./...,$(PKG)),$(MODULES),.); do \
		packages='$(PKG)'; \
		if test "$$module" = test/observability; then packages="-p 1 $$packages"; for program in $$without; do \
			packages="-p 1 $$(cd $$module && $(GO) list $${packages#-p 1 } | grep -v "/$${program%:*}$$")"; done; fi; \
		echo "cd $$module && $(GO) test $$race -shuffle=on $(TESTFLAGS)" $$packages; \
		(cd $$module && $(GO) test $$race -shuffle=on $(TESTFLAGS) $$packages) || status=1; \
	done; \
	warn; exit $$status

.PHONY: test-short
test-short: ## run the quick tests without the race detector, results cached
	$(GO) test -short $(TESTFLAGS) $(PKG)

.PHONY: bench
bench: ## measure end to end, beside other proxies: takes an hour, or as args="--workloads W3 --rounds 3" says
	$(GO) run ./test/bench $(args)

.PHONY: microbench
microbench: ## run the benchmarks: BENCH=Relay TESTFLAGS=-count=10 PKG=./pkg/proxy
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem $(TESTFLAGS) $(PKG)

.PHONY: screenshots
screenshots: ## make the pictures of the status page in docs/images anew; needs chromium
	cd test/observability && $(GO) run ./browser/screenshots

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME=10s
	@grep -r -o --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sort | while IFS=: read -r file func; do \
		name=$${func#func }; dir=$$(dirname "$$file"); \
		echo "== $$name in $$dir"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null || exit 1; \
	done

##@ Code

.PHONY: lint
lint: bin/golangci-lint ## run the linters over all modules
	@for module in $(MODULES); do \
		echo "golangci-lint run in $$module"; \
		(cd $$module && '$(CURDIR)/bin/golangci-lint' run ./...) || exit 1; \
	done

.PHONY: fmt
fmt: bin/golangci-lint ## format the code and its imports
	@for module in $(MODULES); do (cd $$module && '$(CURDIR)/bin/golangci-lint' fmt) || exit 1; done

.PHONY: vet
vet: ## run go vet over all modules
	@for module in $(MODULES); do (cd $$module && $(GO) vet ./...) || exit 1; done

.PHONY: generate
generate: ## make the generated files anew
	$(GO) generate ./...

.PHONY: cross
cross: ## check that everything compiles for Windows and macOS, tests included
	@for target in windows/amd64 windows/arm64 darwin/amd64 darwin/arm64; do \
		echo "go vet for $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet ./... || exit 1; \
	done

.PHONY: ci
ci: ## run all that has to pass before a change is merged
	.ci/run

##@ Images and Docker

.PHONY: image
image: ## write dist/foo-sidecar-oci.tar, an OCI archive for amd64 and arm64; needs no Docker
	cd tools && $(GO) run ./image -root .. -output "$(CURDIR)/dist/foo-sidecar-oci.tar" -version '$(VERSION)'

.PHONY: docker
docker: ## build the image foo-sidecar:dev with Docker
	docker build --build-arg VERSION='$(VERSION)' -t foo-sidecar:dev .

# FOO_VERSION reaches the image through docker-compose.yaml.
.PHONY: deploy
deploy: ## start server, sidecar and client with Docker Compose: args="-f 8001 -l 8002 -h 8088 -r recovery.json"
	@FOO_VERSION='$(VERSION)' deploy/docker/compose.sh deploy -f '$(FORWARDING_PORT)' -l '$(LISTENING_PORT)' \
		-h '$(HTTP_ADDRESS)' -r '$(RECOVERY_PATH)' $(args)

.PHONY: docker-kill
docker-kill: ## signal the sidecar of "make deploy": args=-SIGUSR2
	@deploy/docker/compose.sh kill $(args)

.PHONY: docker-logs
docker-logs: ## follow the logs of "make deploy"
	@deploy/docker/compose.sh logs $(args)

.PHONY: undeploy
undeploy: ## stop what "make deploy" started; what the sidecar saved stays
	@deploy/docker/compose.sh undeploy $(args)

##@ Housekeeping

.PHONY: clean
clean: ## remove what the targets above built; what a sidecar saved in .data stays
	rm -rf bin dist

# The tools are built from the versions that tools/go.mod pins.
bin/golangci-lint: tools/go.mod tools/go.sum
	@mkdir -p bin
	@echo 'building golangci-lint, which takes some minutes the first time'
	cd tools && CGO_ENABLED=0 $(GO) build -trimpath -o ../bin/golangci-lint \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint

bin/benchstat: tools/go.mod tools/go.sum
	@mkdir -p bin
	cd tools && CGO_ENABLED=0 $(GO) build -trimpath -o ../bin/benchstat golang.org/x/perf/cmd/benchstat
