#!/usr/bin/env bash
# Disturbs the running cluster, for tests: `disturb.sh restart apiserver`, or `disturb.sh pause etcd SECONDS`.
source "$(dirname "$0")/lib.sh"

# The program ends as on an upgrade, or is killed after 10 seconds, and comes back with the very same command line.
restart() {
  # shellcheck disable=SC2016 # expands inside
  inside bash -c '
    pid=$(<"/run/$0.pid")
    mapfile -d "" -t command <"/proc/$pid/cmdline"
    kill "$pid"
    for _ in {1..100}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null
    setsid "${command[@]}" </dev/null >>"$1" 2>&1 &
    echo $! >"/run/$0.pid"' "$1" "$CLUSTER_DIR/logs/$1.log"
}

# As on a disk that hangs: nothing is lost, and nothing is answered. It ends with its standard input at the latest, so that whoever asked for it cannot
# leave it behind.
pause() {
  # shellcheck disable=SC2016 # expands inside
  inside bash -c '
    pid=$(<"/run/$0.pid")
    kill -STOP "$pid"
    trap "kill -CONT $pid" EXIT
    trap exit TERM INT
    # Ends by its time, which `read` calls a failure, or with the input.
    read -r -t "$1" _ || true' "$1" "$2"
}

"$@"
