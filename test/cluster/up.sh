#!/usr/bin/env bash
# Brings the test cluster up and prints what to export. Fast when it is up already; replaces one that is half dead.
# usage: up.sh [--bare] [--with metrics-server|flagger|argo-rollouts]...
#   --bare  no add-ons: a Ready node and nothing on it
source "$(dirname "$0")/lib.sh"
source "$CLUSTER_SCRIPTS/tools.sh"
source "$CLUSTER_SCRIPTS/images.sh"
need_root

PACKAGES=(containerd runc containernetworking-plugins catatonit iptables iproute2 openssl procps util-linux)
addons=(coredns traefik prometheus)
extra=()
changed=
while [[ $# -gt 0 ]]; do
  case $1 in
    --bare) addons=() ;;
    --with) extra+=("${2:?--with needs a name}"); shift ;;
    *) die "unknown option: $1" ;;
  esac
  shift
done
addons+=("${extra[@]}")

install_packages() {
  local missing=()
  for package in "${PACKAGES[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  say "installing ${missing[*]} ..."
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >/dev/null ||
    die "could not install ${missing[*]}"
}

# A slot is free when nobody has recorded it and no interface has its name: an address range has one user.
claim_slot() {
  local slot
  mkdir -p "$SLOTS_DIR"
  for ((slot = 0; slot < SLOT_COUNT; slot++)); do
    use_slot "$slot"
    is_alive "$SLOTS_DIR/$slot" && continue
    ip link show "$LINK" >/dev/null 2>&1 && continue
    [[ -z $(find /sys/fs/cgroup -maxdepth 2 -type d -name "$CGROUP") ]] || continue
    # Until the cluster's own process exists, this script stands for it.
    echo "$$ $(started_at $$) $CLUSTER_DIR" >"$SLOTS_DIR/$slot"
    echo "$slot" >"$CLUSTER_DIR/slot"
    return
  done
  die "all $SLOT_COUNT slots are taken: see $SLOTS_DIR"
}

# The kubelet wants its root cgroup to exist, in each hierarchy of version 1 or in the one of version 2. All pods together weigh ten times
# what a cgroup does by itself: beside this machine's processes, each of which weighs as much as that, they would starve.
make_cgroups() {
  local hierarchy
  if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
    mkdir -p "/sys/fs/cgroup/$CGROUP"
    for controller in cpu cpuset memory pids; do
      echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
      echo "+$controller" >"/sys/fs/cgroup/$CGROUP/cgroup.subtree_control" || true
    done
    echo 1000 >"/sys/fs/cgroup/$CGROUP/cpu.weight" || true
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    [[ -L ${hierarchy%/} || ! -e $hierarchy/cgroup.procs ]] || mkdir -p "$hierarchy/$CGROUP"
  done
  # A cpuset without CPUs or memory nodes admits no process.
  for file in cpuset.cpus cpuset.mems; do
    [[ ! -e /sys/fs/cgroup/cpuset/$file ]] || cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$CGROUP/$file"
  done
  [[ ! -e /sys/fs/cgroup/cpu/$CGROUP/cpu.shares ]] || echo 10240 >"/sys/fs/cgroup/cpu/$CGROUP/cpu.shares"
}

start_namespaces() {
  local owner init
  export CANARYGATE_CACHE=$CACHE PAUSE_IMAGE
  PAUSE_IMAGE=$(full_name pause:test)
  CANARYGATE_RUNS_SLOT=$SLOT setsid unshare --fork --pid --mount --net --mount-proc --kill-child catatonit -- bash "$CLUSTER_SCRIPTS/inner.sh" \
    </dev/null >"$CLUSTER_DIR/inner.log" 2>&1 9>&- &
  owner=$!
  echo "$owner $(started_at "$owner") $CLUSTER_DIR" | tee "$CLUSTER_DIR/owner" >"$SLOTS_DIR/$SLOT"
  retry_for 10 pgrep -P "$owner" -x catatonit || die "the namespaces did not start: $CLUSTER_DIR/inner.log"
  init=$(init_pid)
  # With these routes every pod and Service address answers from the host.
  ip link add "$LINK" type veth peer name eth0 netns "$init"
  ip address add "$HOST_ADDRESS/30" dev "$LINK"
  ip link set "$LINK" up
  ip route add "$POD_CIDR" via "$NODE_ADDRESS" dev "$LINK" onlink
  ip route add "$SERVICE_CIDR" via "$NODE_ADDRESS" dev "$LINK" onlink
}

apply_addons() {
  local addon
  kubectl apply -f "$CLUSTER_SCRIPTS/addons/node.yaml"
  [[ ${#addons[@]} -gt 0 ]] || return 0
  # On the server's side: a CRD is larger than what the annotation of a client-side apply may hold.
  [[ " ${addons[*]} " != *" traefik "* ]] || kubectl apply --server-side -f "$(crds_dir)"
  for addon in "${addons[@]}"; do
    retry_for 20 apply_addon "$addon" || apply_addon "$addon"
  done
}
apply_addon() { sed "s/\$DNS_ADDRESS/$DNS_ADDRESS/" "$CLUSTER_SCRIPTS/addons/$1.yaml" | kubectl apply --server-side -f -; }

wait_for_addons() {
  local addon
  for addon in "${addons[@]}"; do
    kubectl rollout status --timeout 90s deployment -n "$(namespace_of "$addon")" "$addon" >/dev/null || die "$addon does not get ready"
  done
}
namespace_of() { case $1 in traefik) echo traefik ;; prometheus) echo monitoring ;; flagger) echo flagger-system ;; argo-rollouts) echo argo-rollouts ;; *) echo kube-system ;; esac; }

node_is_ready() { [[ $(kubectl get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]; }
service_ip() { kubectl get service -n "$1" "$2" -o 'jsonpath={.spec.clusterIP}' 2>/dev/null || true; }

# As JSON: the URL of an address that may be missing.
url() { if [[ -n $1 ]]; then echo "\"http://$1${2:-}\""; else echo null; fi; }

# Tells tests and people where everything is.
describe() {
  local traefik prometheus
  traefik=$(service_ip traefik traefik)
  prometheus=$(service_ip monitoring prometheus)
  cat >"$CLUSTER_DIR/cluster.json.part" <<EOF
{
  "slot": $SLOT,
  "version": "$KUBERNETES_VERSION",
  "kubeconfig": "$CLUSTER_DIR/kubeconfig",
  "kubectl": "$programs/kubectl",
  "load": "$(tool_dir apps)/load",
  "apiServer": "https://$NODE_ADDRESS:6443",
  "hostAddress": "$HOST_ADDRESS",
  "nodeAddress": "$NODE_ADDRESS",
  "nodeName": "$NODE_NAME",
  "podCidr": "$POD_CIDR",
  "serviceCidr": "$SERVICE_CIDR",
  "dnsAddress": "$DNS_ADDRESS",
  "traefikUrl": $(url "$traefik"),
  "traefikApiUrl": $(url "$traefik" :8080),
  "prometheusUrl": $(url "$prometheus" :9090),
  "auditLog": "$CLUSTER_DIR/audit.log",
  "logs": "$CLUSTER_DIR/logs"
}
EOF
  mv "$CLUSTER_DIR/cluster.json.part" "$CLUSTER_DIR/cluster.json"
  cat >"$CLUSTER_DIR/env" <<EOF
export KUBECONFIG=$(printf %q "$CLUSTER_DIR/kubeconfig")
export PATH=$(printf %q "$programs:$(tool_dir apps)"):\$PATH
EOF
}

# Into a running cluster: test applications that have changed, and add-ons that are asked for only now.
load_missing_images() {
  local archive
  "$CLUSTER_SCRIPTS/build-tools.sh" "$@"
  while read -r archive; do
    grep -qxF "$archive" "$CLUSTER_DIR/images" && continue
    "$CLUSTER_SCRIPTS/load-image.sh" "$archive" >&2
    echo "$archive" >>"$CLUSTER_DIR/images"
    changed=yes
  done < <(build_images "$@")
}

began=$(now_ms)
CLUSTER_DIR=$(realpath -m "$CLUSTER_DIR")
mkdir -p "$CLUSTER_DIR"
export CANARYGATE_CLUSTER_DIR=$CLUSTER_DIR
# One up at a time for one cluster. The lock is on the folder above, which a down leaves alone.
exec 9<"$(dirname "$CLUSTER_DIR")"
flock 9

if "$CLUSTER_SCRIPTS/status.sh" --quiet 2>/dev/null; then
  use_slot "$(<"$CLUSTER_DIR/slot")"
  say "the cluster is up already (checked in $(since "$began"))"
  load_missing_images apps "${extra[@]}"
else
  "$CLUSTER_SCRIPTS/down.sh"
  mkdir -p "$CLUSTER_DIR"
  install_packages
  "$CLUSTER_SCRIPTS/build-tools.sh" etcd kubernetes apps "${addons[@]}"
  build_images pause apps "${addons[@]}" >"$CLUSTER_DIR/images"
  # status.sh asks with the kubectl of the running version, whatever the sources say by then.
  tool_dir kubernetes >"$CLUSTER_DIR/programs"
  began=$(now_ms)
  with_slots_locked claim_slot
  use_slot "$(<"$CLUSTER_DIR/slot")"
  "$CLUSTER_SCRIPTS/pki.sh"
  make_cgroups
  start_namespaces
fi

# A proxy of the host's has no way to the cluster's addresses.
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
programs=$(<"$CLUSTER_DIR/programs")
PATH=$programs:$PATH
export KUBECONFIG=$CLUSTER_DIR/kubeconfig
if [[ ! -e $CLUSTER_DIR/cluster.json || ${#extra[@]} -gt 0 || $changed ]]; then
  retry_for 60 kubectl get --raw /readyz || die "the apiserver does not get ready: $CLUSTER_DIR/inner.log"
  say "apiserver ready after $(since "$began")"
  apply_addons >"$CLUSTER_DIR/logs/addons.log" 2>&1 || { cat "$CLUSTER_DIR/logs/addons.log" >&2; die "could not apply the add-ons"; }
  retry_for 60 node_is_ready || die "the node does not get ready: $CLUSTER_DIR/logs/kubelet.log"
  say "node ready after $(since "$began")"
  wait_for_addons
  [[ ${#addons[@]} -eq 0 ]] || say "${addons[*]} ready after $(since "$began")"
  retry_for 60 inside test -e /run/images-loaded || die "the images are not loaded: $CLUSTER_DIR/logs/images.log"
  say "images loaded after $(since "$began")"
  describe
fi
cat "$CLUSTER_DIR/env"
