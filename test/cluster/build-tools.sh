#!/usr/bin/env bash
# Builds the cluster's programs from Go modules into the cache; one line per program with the time taken.
# usage: build-tools.sh [name...]   (default: all but the optional ones)
# A program is built again only when its module files, its sources, its flags or the Go version change.
source "$(dirname "$0")/lib.sh"
source "$CLUSTER_SCRIPTS/tools.sh"

build() {
  local name=$1 recipe folder packages tags ldflags out started
  recipe=$(recipe "$name")
  IFS='|' read -r folder packages tags ldflags <<<"$recipe"
  out=$(tool_dir "$name")
  [[ -d $out ]] && return
  say "building $name ..."
  started=$(now_ms)
  rm -rf "$out.part"
  mkdir -p "$out.part"
  # shellcheck disable=SC2086 # packages is a list
  (cd "$folder" && CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags "$tags" -ldflags "-s -w $ldflags" -o "$out.part/" $packages) ||
    die "building $name failed"
  mv "$out.part" "$out"
  say "built $name in $(since "$started")"
}

module_dir() {
  (cd "$TOOLS/traefik" && go mod download "$1" && go list -m -f '{{.Dir}}' "$1")
}

# The CRDs come out of the modules that define them, as they are: they cannot drift from the programs.
copy_crds() {
  local out traefik gateway
  out=$(crds_dir)
  [[ -d $out ]] && return
  traefik=$(module_dir github.com/traefik/traefik/v3)
  gateway=$(module_dir sigs.k8s.io/gateway-api)
  rm -rf "$out.part"
  mkdir -p "$out.part"
  cp "$traefik/docs/content/reference/dynamic-configuration/kubernetes-crd-definition-v1.yml" "$out.part/traefik.yaml"
  cp "$gateway"/config/crd/standard/gateway.networking.k8s.io_*.yaml "$out.part/"
  chmod u+w "$out.part"/*
  mv "$out.part" "$out"
}

command -v go >/dev/null || die "needs Go to build the cluster's programs"
mkdir -p "$CACHE/tools"
# The quick ones first, so that a mistake shows early.
[[ $# -gt 0 ]] || set -- apps etcd kubernetes coredns traefik prometheus
missing=()
for name; do [[ -d $(tool_dir "$name") ]] || missing+=("$name"); done
[[ ${#missing[@]} -gt 0 || ! -d $(crds_dir) ]] || exit 0

# One build at a time in one cache; whoever waited finds the programs there.
exec 7<"$CACHE/tools"
flock 7
for name in "${missing[@]}"; do build "$name"; done
copy_crds
