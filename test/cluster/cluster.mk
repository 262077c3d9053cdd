# Targets of the real test cluster; see test/cluster/README.md.
CLUSTER := test/cluster

.PHONY: cluster-up cluster-down cluster-status cluster-tools

cluster-up: ## Bring up the test cluster (root; the first time it builds for about 15 minutes)
	@$(CLUSTER)/up.sh

cluster-down: ## Remove the test cluster and everything it made
	@$(CLUSTER)/down.sh

cluster-status: ## Say how the test cluster is
	@$(CLUSTER)/status.sh

cluster-tools: ## Build the test cluster's programs into the cache, and nothing else
	@$(CLUSTER)/build-tools.sh
