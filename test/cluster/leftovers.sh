#!/usr/bin/env bash
# Lists everything of test clusters that no live cluster owns: what a down should have removed.
# Prints nothing and exits 0 when clean, else exits 1. Looks at the whole machine, all clones.
source "$(dirname "$0")/lib.sh"
need_root
found=0
report() { printf '%s\n' "$*"; found=1; }

declare -A live=()
if [[ -d $SLOTS_DIR ]]; then
  for file in "$SLOTS_DIR"/*; do
    [[ -e $file ]] || { report "folder $SLOTS_DIR (empty)"; continue; }
    if is_alive "$file"; then live[$(basename "$file")]=1; else report "slot $file ($(<"$file"))"; fi
  done
fi
is_live() { [[ -n ${live[$1]:-} ]]; }

# Interfaces; routes go with them.
while read -r link; do
  is_live "${link#cgt}" || report "interface $link"
done < <(ip -o link show | sed -nE 's/^[0-9]+: (cgt[0-9]+)[@:].*/\1/p')
while read -r folder; do
  is_live "${folder##*/canarygate-}" || report "cgroup $folder"
done < <(find /sys/fs/cgroup -maxdepth 2 -type d -regextype posix-extended -regex '.*/canarygate-[0-9]+')

# Programs carry their slot in the environment, containers in their cgroup.
for process in /proc/[0-9]*; do
  slot=$(tr '\0' '\n' 2>/dev/null <"$process/environ" | sed -n 's/^CANARYGATE_RUNS_SLOT=//p') || continue
  [[ -n $slot ]] || slot=$(sed -nE 's|.*/canarygate-([0-9]+).*|\1|p' "$process/cgroup" 2>/dev/null | head -1) || continue
  [[ -z $slot ]] || is_live "$slot" || report "process ${process#/proc/} $(tr '\0' ' ' 2>/dev/null <"$process/cmdline")"
done

while read -r _ target _; do report "mount $target"; done < <(grep -E 'canarygate-[0-9]|/\.cluster/' /proc/self/mounts || true)
while read -r rule; do report "iptables $rule"; done < <(iptables-save 2>/dev/null | grep -E 'cgt[0-9]|10\.(240\.0|244|9[6-9])\.' || true)
exit $found
