#!/usr/bin/env bash
# Bundles the product, makes its image without a daemon, and loads it into the test cluster when that is up.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/node_modules/.bin:$PATH"
# Not in the cache, which clones may share: one would load what another has just built.
product=dist/product
mkdir -p "$product"

# createRequire: some dependencies are CommonJS and ask for Node's own modules at run time.
# Splitting: what is imported on demand (the clouds' SDKs) is a file of its own, which is not even read until then.
rm -rf dist/app
esbuild canarygate=src/main.ts --bundle --splitting --platform=node --target=node24 --format=esm --minify-syntax --outdir=dist/app --out-extension:.js=.mjs \
  --log-level=warning --external:@kubernetes/client-node \
  --banner:js="import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

cat > "$product/spec.json" <<JSON
{
  "name": "canarygate:latest",
  "layers": [
    [{"to": "/usr/local/bin/node", "from": "$PWD/node_modules/node-linux-$(node -p process.arch)/bin/node", "mode": "0755", "libraries": true}],
    [{"to": "/app", "from": "$PWD/dist/app"}]
  ],
  "env": {"NODE_ENV": "production", "NODE_OPTIONS": "--max-old-space-size-percentage=70"},
  "entrypoint": ["/usr/local/bin/node", "/app/canarygate.mjs"],
  "user": "65532",
  "workdir": "/app"
}
JSON
node test/cluster/image.ts build "$product/spec.json" -o "$product/canarygate.tar"
if [ -f "${CANARYGATE_CLUSTER_DIR:-.cluster}/cluster.json" ]; then
  test/cluster/load-image.sh "$product/canarygate.tar"
fi
