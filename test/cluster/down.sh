#!/usr/bin/env bash
# Ends the cluster and removes all it made, however much of it is still alive. Harmless when there is none.
source "$(dirname "$0")/lib.sh"
need_root

CLUSTER_DIR=$(realpath -m "$CLUSTER_DIR")
[[ -e $CLUSTER_DIR/slot ]] || { [[ ! -d $CLUSTER_DIR ]] || rm -rf "$CLUSTER_DIR"; exit 0; }
use_slot "$(<"$CLUSTER_DIR/slot")"

# Process 1 of the pid namespace takes everything along: programs, containers, mounts, interfaces, iptables rules.
# Not SIGTERM: the apiserver would wait for open watches, over 20 s with a client connected.
init=$(init_pid)
if is_alive "$CLUSTER_DIR/owner"; then
  read -r owner _ <"$CLUSTER_DIR/owner"
  kill -9 "$owner" 2>/dev/null || true
fi
if [[ -n $init ]]; then
  kill -9 "$init" 2>/dev/null || true
  retry_for 30 has_ended "$init" || die "process $init does not end"
fi

# After a reboot somebody else may have got the slot that is remembered here.
owns_slot() {
  local folder _
  is_alive "$SLOTS_DIR/$SLOT" || return 0
  read -r _ _ folder <"$SLOTS_DIR/$SLOT"
  [[ $folder == "$CLUSTER_DIR" ]]
}

free_slot() {
  owns_slot || return 0
  # Explicitly, since orphaned TCP sockets keep a dead network namespace for a minute or two. The routes go with it.
  if ip link show "$LINK" >/dev/null 2>&1; then ip link del "$LINK"; fi
  rm -f "$SLOTS_DIR/$SLOT"
  rmdir "$SLOTS_DIR" 2>/dev/null || true
}

remove_cgroups() {
  find /sys/fs/cgroup -depth -type d -path "*/$CGROUP*" -exec rmdir {} + 2>/dev/null
  [[ -z $(find /sys/fs/cgroup -maxdepth 2 -type d -name "$CGROUP") ]]
}

# The cgroups before the slot: whoever gets it next must not find them.
! owns_slot || retry_for 10 remove_cgroups || die "cgroups stay: $CGROUP"
with_slots_locked free_slot
rm -rf "$CLUSTER_DIR"
