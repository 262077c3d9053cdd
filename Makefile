SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

include test/cluster/cluster.mk

.PHONY: help deps check generate test test-quick test-long demo image cluster-with-image install uninstall bench bench-rivals lint

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

deps: node_modules/.package-lock.json ## Node 24 and the libraries, from the lockfile

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --ignore-scripts --no-audit --no-fund
	touch $@

check: deps ## Types, lint, layers, and generated files up to date
	tsc -p .
	oxlint --deny-warnings src test scripts bench
	node scripts/check-layers.ts
	node scripts/generate/main.ts --check

generate: deps ## CRDs, reference pages, policies from the schemas and rules
	node scripts/generate/main.ts

test-quick: deps ## Everything that needs no cluster
	node scripts/run-tests.ts quick

test: deps ## Everything: types, lint, pure, property, contract and cluster tests
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory --jobs=2 --output-sync=line check cluster-with-image; \
	else echo 'not root: no cluster here, its tests are skipped'; $(MAKE) --no-print-directory check; fi
	node scripts/run-tests.ts

# One after the other, also while something else is made: the image is loaded into a cluster that is up.
cluster-with-image: deps cluster-up
	@$(MAKE) --no-print-directory image

test-long: cluster-up image ## What takes long: twenty killed agents, the examples minute by minute, and the move from a real Flagger, which is built for it
	$(CLUSTER)/up.sh --with flagger >/dev/null
	node scripts/run-tests.ts test/cluster/long/*.test.ts

image: deps ## The product's image, loaded into the test cluster when it is up
	scripts/build-image.sh

demo: cluster-up image ## The main job on a real cluster: one good release, one bad, one unsafe Canary
	node scripts/demo.ts

bench: deps ## Figures, as ratios measured in one run
	node bench/main.ts

bench-rivals: cluster-up image ## Beside Flagger and Argo Rollouts themselves, which are built for it
	$(CLUSTER)/up.sh --with flagger --with argo-rollouts >/dev/null
	node bench/rivals.ts
