#!/usr/bin/env bash
# Runs the cluster's programs. Started by up.sh as the only child of process 1 of fresh pid, mount and network
# namespaces: when this shell ends, or is killed, the kernel ends everything in them.
source "$(dirname "$0")/lib.sh"
source "$CLUSTER_SCRIPTS/tools.sh"
use_slot "$(<"$CLUSTER_DIR/slot")"

KUBE=$(tool_dir kubernetes)/kube
ETCD=$(tool_dir etcd)/etcd
PKI=$CLUSTER_DIR/pki
LOGS=$CLUSTER_DIR/logs
CONFIG=$CLUSTER_DIR/config
mkdir -p "$LOGS" "$CONFIG/cni"

# Nothing of the host's may be written: these folders are this mount namespace's own from here on.
for folder in /run /var/log /var/lib; do
  case "$CLUSTER_DIR/ $CACHE/ $REPO/" in
    *"$folder/"*) for path in "$CLUSTER_DIR" "$CACHE" "$REPO"; do
      [[ $path/ != "$folder"/* ]] || die "the clone, its cache and its state may not lie under $folder"
    done ;;
  esac
  mount -t tmpfs -o mode=755 tmpfs "$folder"
done
mkdir -p /run/netns /run/tmp /run/kubelet /var/lib/kubelet
export TMPDIR=/run/tmp
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY

# The kubelet insists on these kernel-wide values. It sees files that hold them, and the host's stay what they are.
fake_sysctl() {
  [[ -e /proc/sys/$1 ]] || return 0
  local file=/run/sysctl-${1//\//-}
  echo "$2" >"$file"
  mount --bind "$file" "/proc/sys/$1"
}
fake_sysctl vm/overcommit_memory 1
fake_sysctl vm/panic_on_oom 0
fake_sysctl kernel/panic 10
fake_sysctl kernel/panic_on_oops 1
fake_sysctl kernel/keys/root_maxkeys 1000000
fake_sysctl kernel/keys/root_maxbytes 25000000

ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

start() {
  local name=$1
  shift
  "$@" >"$LOGS/$name.log" 2>&1 &
  echo $! >"/run/$name.pid"
}

start_etcd() {
  start etcd "$ETCD" --name "$NODE_NAME" --data-dir "$CLUSTER_DIR/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
    --initial-cluster "$NODE_NAME=http://127.0.0.1:2380" --auto-compaction-mode periodic --auto-compaction-retention 10m
}

start_apiserver() {
  cat >"$CONFIG/audit-policy.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
EOF
  start apiserver "$KUBE" apiserver \
    --etcd-servers http://127.0.0.1:2379 --service-cluster-ip-range "$SERVICE_CIDR" --advertise-address "$NODE_ADDRESS" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --allow-privileged \
    --client-ca-file "$PKI/ca.crt" --tls-cert-file "$PKI/apiserver.crt" --tls-private-key-file "$PKI/apiserver.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$PKI/service-accounts.key" --service-account-signing-key-file "$PKI/service-accounts.key" \
    --kubelet-certificate-authority "$PKI/ca.crt" --kubelet-preferred-address-types InternalIP \
    --kubelet-client-certificate "$PKI/apiserver-kubelet-client.crt" --kubelet-client-key "$PKI/apiserver-kubelet-client.key" \
    --requestheader-client-ca-file "$PKI/ca.crt" --requestheader-allowed-names front-proxy-client \
    --requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group \
    --requestheader-extra-headers-prefix X-Remote-Extra- \
    --proxy-client-cert-file "$PKI/front-proxy-client.crt" --proxy-client-key-file "$PKI/front-proxy-client.key" \
    --enable-aggregator-routing \
    --audit-policy-file "$CONFIG/audit-policy.yaml" --audit-log-path "$CLUSTER_DIR/audit.log" \
    --audit-log-maxsize 100 --audit-log-maxbackup 2
}

start_containerd() {
  cat >"$CONFIG/cni/10-pods.conflist" <<EOF
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": true,
   "ipam": {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "$POD_CIDR"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
EOF
  # restrict_oom_score_adj: without CAP_SYS_RESOURCE every sandbox fails with "can't get final child's PID from pipe: EOF".
  cat >"$CONFIG/containerd.toml" <<EOF
version = 2
root = "$CLUSTER_DIR/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "/run/containerd/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$CONFIG/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
EOF
  start containerd containerd --config "$CONFIG/containerd.toml"
}

load_images() {
  retry_for 30 ctr version || die "containerd does not answer"
  local archive
  while read -r archive; do
    ctr -n k8s.io images import "$archive"
  done <"$CLUSTER_DIR/images"
  touch /run/images-loaded
}

start_node() {
  printf 'nameserver %s\n' "$DNS_ADDRESS" >/run/resolv.conf
  cat >"$CONFIG/kubelet.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $NODE_ADDRESS
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/kubelet.crt
tlsPrivateKeyFile: $PKI/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
clusterDNS: [$DNS_ADDRESS]
clusterDomain: cluster.local
resolvConf: /run/resolv.conf
serializeImagePulls: false
volumePluginDir: /run/kubelet/volume-plugins
maxPods: 250
# The images come from archives and cannot be pulled again, so none may be thrown away.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi}
nodeStatusUpdateFrequency: 2s
EOF
  start kubelet "$KUBE" kubelet --config "$CONFIG/kubelet.yaml" --kubeconfig "$PKI/node.kubeconfig" --root-dir /run/kubelet \
    --hostname-override "$NODE_NAME" --node-ip "$NODE_ADDRESS"
  # With the default sync period of 1 s a ClusterIP answers a second after its pod is Ready.
  start proxy "$KUBE" proxy --kubeconfig "$PKI/proxy.kubeconfig" --proxy-mode iptables --cluster-cidr "$POD_CIDR" \
    --hostname-override "$NODE_NAME" --conntrack-max-per-core 0 --iptables-min-sync-period 100ms
}

start_controllers() {
  start controllers "$KUBE" controllers --kubeconfig "$PKI/controllers.kubeconfig" --leader-elect=false \
    --root-ca-file "$PKI/ca.crt" --cluster-signing-cert-file "$PKI/ca.crt" --cluster-signing-key-file "$PKI/ca.key" \
    --service-account-private-key-file "$PKI/service-accounts.key" --use-service-account-credentials \
    --allocate-node-cidrs --cluster-cidr "$POD_CIDR" --node-cidr-mask-size 22 --service-cluster-ip-range "$SERVICE_CIDR" \
    --requestheader-client-ca-file "$PKI/ca.crt" --bind-address 127.0.0.1
  start scheduler "$KUBE" scheduler --kubeconfig "$PKI/scheduler.kubeconfig" --leader-elect=false --bind-address 127.0.0.1
}

start_etcd
start_containerd
load_images >"$LOGS/images.log" 2>&1 &

# up.sh moves the other end of the veth pair in here.
retry_for 20 ip link show eth0 || die "the link to the host did not come"
ip address add "$NODE_ADDRESS/30" dev eth0
ip link set eth0 up
ip route add default via "$HOST_ADDRESS"

start_apiserver
retry_for 60 "$(tool_dir kubernetes)/kubectl" --kubeconfig "$CLUSTER_DIR/kubeconfig" get --raw /readyz ||
  die "the apiserver does not get ready: $LOGS/apiserver.log"
start_controllers
start_node

# The programs are never restarted here: what has died stays visible to status.sh, and up.sh replaces the whole.
wait
sleep infinity
