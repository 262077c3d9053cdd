import { test } from 'tap'
import type { CanaryStatus } from '#api/canary.ts'
import { lineOf } from '#cli/watch.ts'

const cases: readonly { name: string; status?: CanaryStatus; line: string }[] = [
  { name: 'a Canary that nobody has looked at yet', line: 'cart: Initializing, weight 0 %' },
  { name: 'a weight, and why it does not rise', status: { phase: 'Progressing', canaryWeight: 20, failedChecks: 1, gate: { reason: 'paused by alice' } }, line: 'cart: Progressing, weight 20 %, 1 failed check; paused by alice' },
  { name: 'a weight that whole pods cannot give', status: { phase: 'Progressing', canaryWeight: 20, gate: { effectiveWeight: 33 } }, line: 'cart: Progressing, weight 20 % (served as 33 %)' },
]
for (const { name, status, line } of cases) {
  test(name, async (t) => t.equal(lineOf({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'cart' }, spec: {}, ...(status ? { status } : {}) } as never), line))
}
