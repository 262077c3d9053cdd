# What all scripts of the test cluster share: where things are, how to say something, how to enter the cluster.
# shellcheck shell=bash
set -euo pipefail

CLUSTER_SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
REPO=$(cd "$CLUSTER_SCRIPTS/../.." && pwd -P)
CACHE=${CANARYGATE_CACHE:-$REPO/.cache}
CLUSTER_DIR=${CANARYGATE_CLUSTER_DIR:-$REPO/.cluster}
# Who owns which slot on this machine, over all clones. On a tmpfs, so a reboot forgets what a reboot removed.
SLOTS_DIR=/run/canarygate-cluster
SLOT_COUNT=64
# The cluster's programs and the host's tools (iptables is in sbin, which is not in every PATH).
PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin
NODE_NAME=node1

say() { printf '%s\n' "$*" >&2; }
die() { say "test cluster: $*"; exit 1; }
need_root() { [[ $EUID -eq 0 ]] || die "needs root: it makes namespaces, mounts and a veth pair"; }

# Sets the addresses of slot $1. 64 slots share 10.240.0.0/24 (links), 10.244.0.0/16 (pods), 10.96.0.0/14 (services).
use_slot() {
  SLOT=$1
  LINK=cgt$SLOT
  CGROUP=canarygate-$SLOT
  HOST_ADDRESS=10.240.0.$((4 * SLOT + 1))
  NODE_ADDRESS=10.240.0.$((4 * SLOT + 2))
  LINK_CIDR=10.240.0.$((4 * SLOT))/30
  POD_CIDR=10.244.$((4 * SLOT)).0/22
  local service_prefix=10.$((96 + SLOT / 16)) service_block=$((16 * (SLOT % 16)))
  SERVICE_CIDR=$service_prefix.$service_block.0/20
  KUBERNETES_ADDRESS=$service_prefix.$service_block.1
  DNS_ADDRESS=$service_prefix.$service_block.10
  export SLOT LINK CGROUP HOST_ADDRESS NODE_ADDRESS LINK_CIDR POD_CIDR SERVICE_CIDR KUBERNETES_ADDRESS DNS_ADDRESS
}

# Runs a command while no other script chooses or frees a slot. The lock is on the folder /run itself: no file stays behind.
with_slots_locked() {
  (
    flock 8
    "$@"
  ) 8</run
}

# Start time of a process in clock ticks since boot; together with its id it names one process for ever.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# A zombie has ended, even if whoever should bury it does not.
has_ended() { [[ ! -d /proc/$1 || $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c1) == Z ]]; }

# Is the process of record file $1 ("pid start-time ...") still that same process?
is_alive() {
  local pid start _
  [[ -r $1 ]] && read -r pid start _ <"$1" && [[ -n ${start:-} && $(started_at "$pid") == "$start" ]] && ! has_ended "$pid"
}

# The cluster's process 1, as the host numbers it; nothing when the cluster is down.
init_pid() {
  is_alive "$CLUSTER_DIR/owner" || return 0
  local pid _
  read -r pid _ <"$CLUSTER_DIR/owner"
  pgrep -P "$pid" -x catatonit || true
}

# Runs a command inside the cluster's namespaces.
# Not with `ip netns exec`: it makes a mount namespace per call, in which containerd cannot see the kubelet's volumes.
inside() {
  local pid
  pid=$(init_pid)
  [[ -n $pid ]] || die "the cluster of $CLUSTER_DIR is down"
  nsenter -t "$pid" -m -n -p -- "$@"
}

now_ms() { date +%s%3N; }
since() { awk -v a="$1" -v b="$(now_ms)" 'BEGIN { printf "%.1f s", (b - a) / 1000 }'; }

# Repeats a command until it succeeds, for at most $1 seconds.
retry_for() {
  local deadline=$(($(now_ms) + $1 * 1000))
  shift
  until "$@" >/dev/null 2>&1; do
    [[ $(now_ms) -lt $deadline ]] || return 1
    sleep 0.1
  done
}
