import { setTimeout as wait } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Workload } from '#api/objects.ts'
import { adoptedShop, client, getCanary, kubectl, namespace } from '../scene.ts'

/** People who change images all the time, while something happens to the webhook. */

export const ADMISSIONS_PER_SECOND = 200
/** A machine that cannot keep the rate is asked more slowly, as by people who wait: it is not to be measured how it drowns. */
const MOST_AT_ONCE = 40

export type Admissions = { readonly sent: number; readonly seconds: number; readonly failed: number; readonly ungated: number; readonly errors: Readonly<Record<string, number>>; readonly slowestMs: number; readonly troubleFromTo: string }

type Sending = { readonly sofar: () => number; readonly slowTo: (perSecond: number) => void; stop(): Promise<Admissions> }

/** Dry-run changes of an image at a steady rate: what failed, and what passed without being held. */
export function startAdmissions(t: Test, ns: string): Sending {
  let stopped = false
  let perSecond = ADMISSIONS_PER_SECOND
  t.teardown(() => { stopped = true })
  const errors: Record<string, number> = {}
  /** When, since the start, the first and the last that went wrong were sent (s). */
  let trouble: [number, number] | undefined
  let [sent, failed, ungated, slowestMs] = [0, 0, 0, 0]
  /** How many should have been sent by `lookedAt`. */
  let [due, lookedAt] = [0, 0]
  const open = new Set<Promise<void>>()
  async function change(number: number): Promise<void> {
    const sentAt = performance.now()
    const note = (): void => {
      const at = Math.round((sentAt - startedAt) / 100) / 10
      trouble = [Math.min(at, trouble?.[0] ?? at), Math.max(at, trouble?.[1] ?? at)]
    }
    const patch = { spec: { template: { spec: { containers: [{ name: 'cart', image: `shop:${number}` }] } } } }
    try {
      const answer = await (await client()).patch<Workload>({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: ns, name: 'cart' }, patch, 'strategic', { dryRun: true, timeoutMs: 10_000 })
      if (answer.metadata.annotations?.['canarygate.dev/gate'] !== 'pending') {
        ungated += 1
        note()
      }
    } catch (err) {
      failed += 1
      note()
      const text = err instanceof Error ? err.message.replaceAll(/\d+/g, 'n') : String(err)
      errors[text] = (errors[text] ?? 0) + 1
    }
    slowestMs = Math.max(slowestMs, performance.now() - sentAt)
  }
  const startedAt = performance.now()
  const loop = (async () => {
    lookedAt = startedAt
    while (!stopped) {
      const now = performance.now()
      due += ((now - lookedAt) / 1_000) * perSecond
      lookedAt = now
      for (; sent < Math.floor(due) && open.size < MOST_AT_ONCE; sent += 1) {
        const one = change(sent).finally(() => open.delete(one))
        open.add(one)
      }
      await wait(5)
    }
  })()
  return {
    sofar: () => sent,
    slowTo(rate) {
      perSecond = rate
      due = sent
    },
    async stop() {
      stopped = true
      const seconds = (performance.now() - startedAt) / 1_000
      await loop
      await Promise.all(open)
      return { sent, seconds, failed, ungated, errors, slowestMs: Math.round(slowestMs), troubleFromTo: trouble?.join(' s to ') ?? 'none' }
    },
  }
}

/** Rehearsals of one change, until `end` says what became of them. `t` is the test at whose end they are over at the latest. */
export async function rehearse(t: Test): Promise<Pick<Sending, 'sofar' | 'slowTo'> & { end(t: Test): Promise<Admissions> }> {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const { stop, ...sending } = startAdmissions(t, ns)
  await wait(2_000)
  return {
    ...sending,
    async end(t) {
      await wait(2_000)
      const seen = await stop()
      t.comment(`${(seen.sent / seen.seconds).toFixed(0)} admissions/s: ${JSON.stringify(seen)}`)
      t.equal((await getCanary(ns))?.status?.phase, 'Initialized', 'they were dry runs')
      return seen
    },
  }
}

/** What became of them while `disturb` went on. */
export async function underAdmissions(t: Test, disturb: (sofar: () => number) => Promise<void>): Promise<Admissions> {
  const rehearsals = await rehearse(t)
  await disturb(rehearsals.sofar)
  return await rehearsals.end(t)
}

export const webhookPods = async (): Promise<readonly string[]> =>
  (await kubectl('-n', 'canarygate', 'get', 'pods', '-l', 'app.kubernetes.io/component=webhook', '--field-selector=status.phase=Running', '-o', 'jsonpath={.items[*].metadata.name}')).split(' ')

