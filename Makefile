# Run `make help` for what there is.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs into bin/
	$(GO) build -trimpath -o bin/ ./cmd/...
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/ ./cmd/prestop

.PHONY: sandbox
sandbox: ## Start the real servers on this machine and stay up until Ctrl-C (SANDBOX="--only zookeeper")
	@$(GO) run ./cmd/sandbox up $(SANDBOX)

.PHONY: demo
demo: ## Show the product at work on the real servers (ONESHOT=1: end by itself, fail if a claim did not come true)
	@$(GO) run ./cmd/sandbox demo $(if $(ONESHOT),--oneshot)

# The packages run two at a time on one set of servers, the longest first; last those of adapter, some of whose
# tests want the servers for themselves and would wait for the end-to-end tests. A test that cannot have them fails.
TEST       ?= ./internal/testbed/e2e ./tools ./internal/... ./rebalancer/... ./scaler/... ./...
TEST_FLAGS ?=

.PHONY: test
test: ## Run every test against the real servers (TEST=./rebalancer/... TEST_FLAGS="-run X -v")
	@rm -rf bin/reports && mkdir -p bin/reports
	@SHARDSCALER_REQUIRE_SERVERS=1 SHARDSCALER_REPORTS=$(CURDIR)/bin/reports $(GO) run ./cmd/sandbox exec -- \
		$(GO) test -count=1 -p 2 -timeout 50m $(TEST_FLAGS) $(TEST); \
	status=$$?; cat bin/reports/*.txt 2>/dev/null; exit $$status

.PHONY: chaos
chaos: ## Meet each point of the product's work with each fault, on real servers; 30 minutes (CHAOS_TIME=12m: every fault and point at least once; CHAOS_ONLY=regexp: some)
	@rm -rf bin/reports && mkdir -p bin/reports
	@SHARDSCALER_REQUIRE_SERVERS=1 SHARDSCALER_REPORTS=$(CURDIR)/bin/reports $(GO) run ./cmd/sandbox exec -- \
		$(GO) test -count=1 -tags chaos -timeout 120m -run TestCross -v ./internal/testbed/chaos; \
	status=$$?; cat bin/reports/*.txt 2>/dev/null; exit $$status

.PHONY: bars
bars: ## Measure speed and size, a line a figure; fails if one is short (ONLY=memory_ for some; COLD=1: build the servers anew)
	@exec $(GO) -C tools/bars run . -only "$(ONLY)" $(if $(COLD),-cold)

ARCH ?= $(shell $(GO) env GOARCH)

.PHONY: image
image: ## Write the container image, an OCI archive, to dist/image.tar and print its digest (ARCH=amd64,arm64)
	@$(GO) -C tools/release run . image -version "$(VERSION)" -arch "$(ARCH)" -out "$(CURDIR)/dist/image.tar"

.PHONY: release
release: ## Write image, manifests, plugin and checksums to dist/ (VERSION=v1.2.3 REPOSITORY=where the image will be)
	@rm -rf dist
	@$(GO) -C tools/release run . all -version "$(VERSION)" -repository "$(or $(REPOSITORY),shardscaler)" -out "$(CURDIR)/dist"

SOAKTIME ?= 2h

.PHONY: soak
soak: ## Let 500,000 resources on 100 instances live for two hours with a fault each 10 s (SOAKTIME=20m)
	@exec $(GO) -C tools/bars run . -soak $(SOAKTIME)

FUZZTIME ?= 5m

.PHONY: fuzz
fuzz: ## Give each fuzz target five minutes and print how often it was executed (FUZZTIME=1m ONLY=heartbeat)
	@exec $(GO) run ./tools/fuzz -time $(FUZZTIME) -only "$(ONLY)"

.PHONY: race
race: ## Run the tests of the product's own packages that need no servers under the race detector (RACE=./rebalancer for some)
	$(GO) test -race -short -count=1 $(or $(RACE),$(shell $(GO) list ./... | grep -v -e /internal/testbed -e /cmd/sandbox -e /cmd/dacsim -e /tools))

.PHONY: lint
lint: ## Check the code with golangci-lint, at the version of tools/lint (the first run builds it, 2 minutes)
	$(GO) tool -modfile=tools/lint/go.mod golangci-lint run --allow-parallel-runners --timeout 20m ./...
	$(GO) -C tools/bars tool -modfile=../lint/go.mod golangci-lint run --allow-parallel-runners --timeout 20m ./...
	$(GO) -C tools/release tool -modfile=../lint/go.mod golangci-lint run --allow-parallel-runners --timeout 20m ./...
	$(GO) -C tools/dashlint tool -modfile=../lint/go.mod golangci-lint run --allow-parallel-runners --timeout 20m ./...

.PHONY: screenshots
screenshots: ## Play the demonstration and take the pictures of docs/images anew, in a real browser
	@SHARDSCALER_REQUIRE_SERVERS=1 SHARDSCALER_REQUIRE_DEBIAN=1 SHARDSCALER_SCREENSHOTS=$(CURDIR)/docs/images $(GO) run ./cmd/sandbox exec -- \
		$(GO) test -count=1 -timeout 30m -run TestScreenshots -v ./internal/testbed/story

.PHONY: generate
generate: ## Write the deep copies and the CustomResourceDefinition that follow from adapter/v1alpha1
	$(GO) generate ./adapter/v1alpha1

.PHONY: clean
clean: ## Remove what was built here (what all clones share stays in the cache folder)
	rm -rf bin dist
