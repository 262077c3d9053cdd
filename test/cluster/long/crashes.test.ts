import { execFile } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import {
  adoptedShop, annotationsOf, begin, client, deployment, getCanary, imageOf, kubectl, namespace, processOf, reaches, run, serviceUrl, skip, startLoad, waitFor,
} from '../../scene.ts'

/**
 * Several releases side by side, some good and some bad, while what they stand on dies or hangs. Every one has to end as it does when nothing
 * happens, and users must not notice.
 */
await begin(t)

const GOOD = 4
const BAD = 2
const KILLS = 20
const ETCD_PAUSES = 4
const OURS = 'canarygate'
const STEPS = { progressDeadlineSeconds: 25, analysis: { interval: '4s', threshold: 2, stepWeights: [20, 50] } }
/** A release of 8 s of analysis, the deadline of a bad one, and as many takeovers as may come between. */
const LONGEST_RELEASE_SECONDS = 150

/** Drawn anew in each run; the seed of a failure is in its output, and goes into CRASHES_SEED. */
const seed = Number(process.env['CRASHES_SEED'] ?? Date.now() % 1_000_000)
let drawn = seed
const random = (): number => {
  drawn = (drawn * 48_271) % 2_147_483_647
  return drawn / 2_147_483_647
}

type Lease = KubeObject & { readonly spec?: { readonly holderIdentity?: string } }
const leader = async (): Promise<string> => {
  const lease = await (await client()).get<Lease>({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: OURS, name: 'canarygate-agent' })
  const identity = lease?.spec?.holderIdentity ?? ''
  return identity.slice(0, identity.lastIndexOf('_'))
}

const disturb = async (...args: readonly string[]): Promise<void> => { await promisify(execFile)(new URL('../disturb.sh', import.meta.url).pathname, args, { timeout: 60_000 }) }

type Shops = { readonly good: readonly string[]; readonly bad: readonly string[] }
let releases = 0

/** What `kubectl set image` ends in, with a variable that makes each release a revision of its own. */
async function release({ good, bad }: Shops): Promise<void> {
  releases += 1
  const to = (ns: string, image: string) => async () => {
    const container = { name: 'cart', image, env: [{ name: 'RELEASE', value: String(releases) }] }
    return (await client()).patch({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: ns, name: 'cart' }, { spec: { template: { spec: { containers: [container] } } } }, 'strategic')
  }
  const image = `shop:1.${releases % 3}`
  await Promise.all([...good.map((ns) => to(ns, image)()), ...bad.map((ns) => to(ns, 'shop:unready')())])
}

/** How each release ended: all that a person could compare. */
async function ends({ good, bad }: Shops): Promise<readonly unknown[]> {
  await Promise.all([...good.map((ns) => reaches(ns, ['Succeeded'], LONGEST_RELEASE_SECONDS)), ...bad.map((ns) => reaches(ns, ['Failed'], LONGEST_RELEASE_SECONDS))])
  return await Promise.all([...good, ...bad].map(async (ns) => {
    await waitFor('the canary to be without pods', async () => (await deployment(ns, 'cart-canary'))?.spec.replicas === 0, 30)
    await waitFor('the gate to say so', async () => !((await annotationsOf(ns))['canarygate.dev/gate'] ?? '').startsWith('pending'), 10)
    const [canary, primary, gate] = [await getCanary(ns), await deployment(ns, 'cart-primary'), (await annotationsOf(ns))['canarygate.dev/gate']]
    return {
      phase: canary?.status?.phase, weight: canary?.status?.canaryWeight, failedChecks: canary?.status?.failedChecks, isLatest: JSON.stringify(primary?.spec.template.spec.containers[0]?.['env'] ?? '').includes(`"value":"${releases}"`),
      image: (await imageOf(ns, 'cart-primary'))?.replace(/^shop:1\.\d$/, 'a good one'), replicas: primary?.spec.replicas, gate: gate?.split(':')[0],
      isApplied: canary?.status?.lastAppliedSpec === canary?.status?.lastPromotedSpec,
    }
  }))
}

/** True once every release of the wave has its verdict. */
async function isOver({ good, bad }: Shops): Promise<boolean> {
  const phases = await Promise.all([...good, ...bad].map(async (ns) => [(await getCanary(ns))?.status?.phase, (await annotationsOf(ns))['canarygate.dev/gate']] as const))
  return phases.every(([phase, gate]) => (phase === 'Succeeded' || phase === 'Failed') && gate !== 'pending')
}

test('releases end as they would have, whatever dies or hangs meanwhile', { skip }, async (t) => {
  t.comment(`CRASHES_SEED=${seed}`)
  const names = await Promise.all(Array.from({ length: GOOD + BAD }, () => namespace(t)))
  await Promise.all(names.map((ns) => adoptedShop(ns, { preStopSeconds: 3 }, STEPS)))
  const shops: Shops = { good: names.slice(0, GOOD), bad: names.slice(GOOD) }
  const users = await Promise.all([names[0] ?? '', names.at(-1) ?? ''].map(async (ns) => startLoad(t, { url: await serviceUrl(ns), rate: 20 })))
  await release(shops)
  const undisturbed = await ends(shops)
  t.match(undisturbed, [...shops.good.map(() => ({ phase: 'Succeeded', weight: 0, image: 'a good one', isLatest: true, gate: 'passed' })), ...shops.bad.map(() => ({ phase: 'Failed', weight: 0, image: 'a good one', gate: 'failed' }))])

  await t.test(`the leading agent is killed ${KILLS} times`, async (t) => {
    let kills = 0
    const moments = new Map<string, number>()
    let waves = 0
    for (; kills < KILLS && waves < KILLS; waves += 1) {
      await release(shops)
      const startedAt = performance.now()
      while (kills < KILLS && !(await isOver(shops)) && performance.now() - startedAt < LONGEST_RELEASE_SECONDS * 1_000) {
        await wait(random() * 3_000)
        const pod = await leader()
        if (pod === '') continue
        const phases = await Promise.all(names.map(async (ns) => (await getCanary(ns))?.status?.phase ?? ''))
        process.kill(await processOf(pod), 'SIGKILL')
        kills += 1
        for (const phase of phases) moments.set(phase, (moments.get(phase) ?? 0) + 1)
        // A container that dies again and again would have to wait longer and longer; its successor does not.
        await kubectl('-n', OURS, 'delete', 'pod', pod, '--grace-period=0', '--force')
        await waitFor('another leader', async () => { const now = await leader(); return now !== '' && now !== pod }, 40, 50)
      }
      t.strictSame(await ends(shops), undisturbed, `wave ${waves + 1}, after ${kills} kills`)
    }
    t.equal(kills, KILLS)
    t.comment(`${kills} kills in ${waves} waves of ${names.length} releases, which were then in ${[...moments].map(([phase, count]) => `${phase} ${count}`).join(', ')}`)
  })

  await t.test(`the API server is restarted, and etcd hangs ${ETCD_PAUSES} times for a moment`, async (t) => {
    await release(shops)
    await wait(random() * 8_000)
    await disturb('restart', 'apiserver')
    await waitFor('the API server', async () => (await run(['get', '--raw', '/readyz'], { timeoutMs: 5_000 })).code === 0, 60)
    for (let pauses = 0; pauses < ETCD_PAUSES; pauses += 1) {
      await wait(500 + random() * 2_000)
      await disturb('pause', 'etcd', (0.5 + random() * 2).toFixed(1))
    }
    t.strictSame(await ends(shops), undisturbed)
  })

  for (const [index, user] of users.entries()) {
    const seen = await user.stop()
    t.comment(`users of the ${index === 0 ? 'good' : 'bad'} releases: ${seen.total} requests, ${seen.failed} failed, ${JSON.stringify(seen.byVersionAndCode)}`)
    t.equal(seen.failed, 0, `0 of ${seen.total} requests failed ${JSON.stringify([seen.errors, seen.lastError])}`)
    t.ok(seen.total > 1_000)
  }
})
