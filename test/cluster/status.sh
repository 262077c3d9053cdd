#!/usr/bin/env bash
# Says how the cluster is. Exit 0: up and healthy; 1: something is wrong; 3: down.
source "$(dirname "$0")/lib.sh"

if [[ -z $(init_pid) ]]; then
  [[ -e $CLUSTER_DIR/slot ]] && { say "dead: $CLUSTER_DIR"; exit 1; }
  say "down: $CLUSTER_DIR"
  exit 3
fi
use_slot "$(<"$CLUSTER_DIR/slot")"
healthy=0
for program in etcd apiserver containerd controllers scheduler kubelet proxy; do
  # shellcheck disable=SC2016 # expands inside
  inside bash -c 'kill -0 "$(<"/run/$0.pid")"' "$program" 2>/dev/null || { say "$program is dead"; healthy=1; }
done
[[ $healthy -eq 0 ]] || exit 1

unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
kubectl=$(<"$CLUSTER_DIR/programs")/kubectl
export KUBECONFIG=$CLUSTER_DIR/kubeconfig
"$kubectl" --request-timeout 5s get --raw /readyz >/dev/null || { say "the apiserver is not ready"; exit 1; }
[[ $("$kubectl" --request-timeout 5s get node "$NODE_NAME" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]] ||
  { say "the node is not ready"; exit 1; }
if [[ ${1:-} != --quiet ]]; then
  "$kubectl" get nodes -o wide
  "$kubectl" get deployments -A
fi
