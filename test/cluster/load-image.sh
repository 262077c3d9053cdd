#!/usr/bin/env bash
# Imports image archives (of image.ts, or any OCI or Docker archive) into the cluster.
# usage: load-image.sh <out.tar>...
source "$(dirname "$0")/lib.sh"
need_root
[[ $# -gt 0 ]] || die "usage: load-image.sh <out.tar>..."
for archive; do
  # Through standard input: the cluster's mounts hide some of the host's folders.
  inside ctr -n k8s.io images import - <"$archive"
done
