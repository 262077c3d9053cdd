#!/usr/bin/env bash
# Makes the cluster's certificates and kubeconfigs in .cluster/pki. One EC P-256 authority signs everything.
# The cluster lives for hours; its certificates for a month, and they go with it.
source "$(dirname "$0")/lib.sh"
use_slot "$(<"$CLUSTER_DIR/slot")"

umask 077
PKI=$CLUSTER_DIR/pki
DAYS=30
mkdir -p "$PKI"
cd "$PKI" || exit

quietly() { "$@" 2>openssl.log || { cat openssl.log >&2; exit 1; }; }
new_key() { quietly openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# sign <file> <subject> <clientAuth|serverAuth> [alternative names]
sign() {
  local file=$1 subject=$2 usage=$3 names=${4:-}
  new_key "$file"
  {
    echo "basicConstraints = CA:FALSE"
    echo "keyUsage = digitalSignature"
    echo "extendedKeyUsage = $usage"
    [[ -z $names ]] || echo "subjectAltName = $names"
  } >"$file.ext"
  quietly openssl req -new -key "$file.key" -subj "$subject" -out "$file.csr"
  quietly openssl x509 -req -in "$file.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days $DAYS -extfile "$file.ext" -out "$file.crt"
  rm "$file.csr" "$file.ext"
}

# write_kubeconfig <file> <certificate>: certificates are embedded, so the file works from anywhere.
write_kubeconfig() {
  cat >"$1" <<EOF
apiVersion: v1
kind: Config
clusters:
  - name: canarygate-test
    cluster:
      server: https://$NODE_ADDRESS:6443
      certificate-authority-data: $(base64 -w0 ca.crt)
contexts:
  - name: canarygate-test
    context: {cluster: canarygate-test, user: $2}
current-context: canarygate-test
users:
  - name: $2
    user:
      client-certificate-data: $(base64 -w0 "$2.crt")
      client-key-data: $(base64 -w0 "$2.key")
EOF
}

new_key ca
quietly openssl req -x509 -new -key ca.key -subj "/CN=canarygate-test" -days $DAYS -out ca.crt \
  -addext "keyUsage = critical, keyCertSign, cRLSign, digitalSignature"
new_key service-accounts

sign apiserver /CN=kube-apiserver serverAuth \
  "DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, DNS:kubernetes.default.svc.cluster.local, DNS:localhost, IP:$KUBERNETES_ADDRESS, IP:$NODE_ADDRESS, IP:127.0.0.1"
sign kubelet "/CN=$NODE_NAME" serverAuth "DNS:$NODE_NAME, IP:$NODE_ADDRESS"
sign apiserver-kubelet-client /O=system:masters/CN=apiserver-kubelet-client clientAuth
sign front-proxy-client /CN=front-proxy-client clientAuth

sign admin /O=system:masters/CN=admin clientAuth
sign controllers /CN=system:kube-controller-manager clientAuth
sign scheduler /CN=system:kube-scheduler clientAuth
sign proxy /CN=system:kube-proxy clientAuth
sign node "/O=system:nodes/CN=system:node:$NODE_NAME" clientAuth
for user in controllers scheduler proxy node; do write_kubeconfig "$user.kubeconfig" "$user"; done
write_kubeconfig "$CLUSTER_DIR/kubeconfig" admin
rm -f openssl.log
