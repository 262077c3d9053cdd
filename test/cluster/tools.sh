# What the cluster's programs are made of and where the built ones lie. Sourced after lib.sh.
# shellcheck shell=bash

TOOLS=$CLUSTER_SCRIPTS/tools
KUBERNETES_VERSION=v1.35.4
# Clients that parse the server's version as a semver refuse the default one; the second names the user agents.
KUBERNETES_FLAGS=$(printf -- "-X %s.gitVersion=$KUBERNETES_VERSION -X %s.gitMajor=1 -X %s.gitMinor=35 -X %s.gitCommit=module " \
  k8s.io/component-base/version{,,,} k8s.io/client-go/pkg/version{,,,})

# Prints folder|packages|tags|linker flags of program set $1.
recipe() {
  case $1 in
    kubernetes) echo "$TOOLS/kubernetes|./kube ./kubectl||$KUBERNETES_FLAGS" ;;
    etcd) echo "$TOOLS/etcd|.||" ;;
    coredns) echo "$TOOLS/coredns|.||" ;;
    traefik) echo "$TOOLS/traefik|github.com/traefik/traefik/v3/cmd/traefik||" ;;
    # Only the discovery that is used: the others bring the SDKs of twenty clouds.
    prometheus) echo "$TOOLS/prometheus|github.com/prometheus/prometheus/cmd/prometheus|remove_all_sd,enable_kubernetes_sd|" ;;
    metrics-server) echo "$TOOLS/metrics-server|sigs.k8s.io/metrics-server/cmd/metrics-server||" ;;
    flagger) echo "$TOOLS/flagger|github.com/fluxcd/flagger/cmd/flagger||" ;;
    argo-rollouts) echo "$TOOLS/argo-rollouts|github.com/argoproj/argo-rollouts/cmd/rollouts-controller||" ;;
    apps) echo "$REPO/test/apps|./shop ./load||" ;;
    *) die "unknown program: $1" ;;
  esac
}

short_hash() { sha256sum | cut -c1-16; }

# Where the programs of set $1 are, or will be: keyed by everything that goes into the build.
tool_dir() {
  local recipe folder _
  recipe=$(recipe "$1")
  IFS='|' read -r folder _ <<<"$recipe"
  (
    cd "$folder" || exit
    { go version; echo "${recipe#"$REPO"}"; find . -name '*.go' -o -name go.mod -o -name go.sum | LC_ALL=C sort | xargs sha256sum; } | short_hash
  ) | sed "s|^|$CACHE/tools/$1-|"
}

# Where the CRDs of Traefik and of the Gateway API are, or will be.
crds_dir() { echo "$CACHE/crds-$(short_hash <"$TOOLS/traefik/go.mod")"; }
