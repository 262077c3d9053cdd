import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

/**
 * Every benchmark, one after another: `make bench`. Figures are ratios to something measured in the same run, since a machine's speed drifts.
 * Those on the real cluster want CanaryGate installed (`make demo` leaves it so) and are skipped, aloud, without one.
 */
const state = `${process.env['CANARYGATE_CLUSTER_DIR'] ?? '.cluster'}/cluster.json`
const kubeconfig = existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')) as { readonly kubeconfig: string }).kubeconfig : undefined

const benches: readonly { readonly title: string; readonly command: readonly string[]; readonly onCluster?: true }[] = [
  { title: 'admission: our server against one that parses and allows', command: ['bench/admission/bench.ts'] },
  { title: 'reaction and run time: to the canary\'s pods, and from start to end', command: ['bench/reaction.ts', kubeconfig ?? '', '40', '5'], onCluster: true },
  { title: 'scale: what idle Canaries cost, and many runs at once', command: ['bench/scale.ts', kubeconfig ?? '', '500,1000', '50'], onCluster: true },
  { title: 'admission: what the webhook adds to an update', command: ['bench/admission/added.ts', kubeconfig ?? '', '300'], onCluster: true },
  { title: 'judge: wrong rollbacks and delays, beside Flagger\'s and Argo\'s rules', command: ['bench/judge/simulate.ts', '200', '7'] },
]

let faults = 0
for (const { title, command, onCluster } of benches) {
  console.log(`\n=== ${title}`)
  if (onCluster && !kubeconfig) {
    console.log('skipped: no cluster is up (make cluster-up)')
    continue
  }
  if (spawnSync(process.execPath, command, { stdio: 'inherit' }).status !== 0) faults += 1
}
console.log(`\n${benches.length - faults} benches done, ${faults} missed a budget or failed`)
process.exit(faults === 0 ? 0 : 1)
