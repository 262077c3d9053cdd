import { setTimeout as wait } from 'node:timers/promises'
import { t, test, type Test } from 'tap'
import {
  applyYaml, beginBesideOthers, canary, cluster, deployment, deployShop, events, getCanary, imageOf, kubectl, namespace, reaches, run, serviceUrl, shop, skip,
  startLoad, waitFor, type LoadSummary,
} from '../scene.ts'

/** A running target is taken over, and given back, while people use it: three replicas, through a router and on the Service itself. */
await beginBesideOthers(t)
t.jobs = 2

const MIN_REQUESTS = 2_000
const RATE = 40
const PRE_STOP_SECONDS = 3
/** Longest wait for what takes half a minute on an idle machine. */
const PATIENCE_SECONDS = 150

const SHOP = { replicas: 3, preStopSeconds: PRE_STOP_SECONDS }
const ANALYSIS = { interval: '5s', threshold: 2, stepWeights: [20, 50] }

/** Users on both ways in. `settle` ends them when both have sent enough, and says what they saw. */
function users(t: Test, url: string, host: string) {
  const loads = [
    ['through Traefik', startLoad(t, { url: cluster().traefikUrl, host, rate: RATE })],
    ['on the ClusterIP', startLoad(t, { url, rate: RATE / 2 })],
    ['on the ClusterIP, a connection each', startLoad(t, { url, rate: RATE / 2, keepAlive: false })],
  ] as const
  return {
    async settle(): Promise<readonly LoadSummary[]> {
      await waitFor('enough requests', async () => loads.reduce((sum, [, load]) => sum + Object.values(load.sofar()).reduce((a, b) => a + b, 0), 0) >= 1.5 * MIN_REQUESTS, 90, 500)
      await wait(PRE_STOP_SECONDS * 1_000 + 1_000) // what was let go is gone by now
      return await Promise.all(loads.map(async ([name, load]) => {
        const summary = await load.stop()
        t.comment(`${name}: ${summary.total} requests, ${summary.failed} failed, ${JSON.stringify(summary.byVersionAndCode)}`)
        t.equal(summary.failed, 0, `${name}: 0 of ${summary.total} requests failed ${JSON.stringify([summary.errors, summary.lastError])}`)
        return summary
      }))
    },
  }
}

const total = (summaries: readonly LoadSummary[]): number => summaries.reduce((sum, summary) => sum + summary.total, 0)
const requests = (version: string, summaries: readonly LoadSummary[]): number => summaries.reduce((sum, { byVersion }) => sum + (byVersion[version] ?? 0), 0)

async function scene(t: Test, gated: boolean) {
  const ns = await namespace(t, { gated })
  const host = `${ns}.example.org`
  await deployShop(ns, { ...SHOP, host })
  return { ns, host, users: users(t, await serviceUrl(ns), host) }
}

async function isAdopted(t: Test, ns: string, image: string): Promise<void> {
  t.equal(await imageOf(ns, 'cart-primary'), image)
  t.match(await deployment(ns, 'cart-primary'), { status: { readyReplicas: 3 } })
  t.match(await deployment(ns, 'cart'), { spec: { replicas: 0 } })
  t.notOk((await deployment(ns, 'cart'))?.spec.paused)
}

test('the Canary comes first: the target is adopted without a failed request', { skip }, async (t) => {
  const { ns, users } = await scene(t, false)
  await applyYaml(canary(ns, { provider: 'traefik', analysis: ANALYSIS }))
  await reaches(ns, ['Initialized'], 60)
  const seen = await users.settle()
  await isAdopted(t, ns, 'shop:1.0')
  t.ok(total(seen) >= MIN_REQUESTS, `${total(seen)} requests`)
})

test('the change of the image comes first: held, adopted, analysed and promoted without a failed request', { skip }, async (t) => {
  const { ns, users } = await scene(t, true)
  const set = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'])
  t.match(set.stderr, /first change of deployment\/cart: it is adopted first, paused until its primary serves/)
  await waitFor('a Canary', () => getCanary(ns), 10)
  t.equal((await run(['-n', ns, 'rollout', 'status', 'deployment/cart', `--timeout=${PATIENCE_SECONDS}s`], { timeoutMs: (PATIENCE_SECONDS + 10) * 1_000 })).code, 0)
  await reaches(ns, ['Succeeded'], 10)
  const seen = await users.settle()
  await isAdopted(t, ns, 'shop:1.1')
  t.ok(total(seen) >= MIN_REQUESTS, `${total(seen)} requests`)
  t.ok(requests('1.1', seen) > 0, `${requests('1.1', seen)} of them by the new version`)
})

test('the Canary and another image in one kubectl apply: the same', { skip }, async (t) => {
  const { ns, host, users } = await scene(t, true)
  const [changed, ...others] = shop(ns, { ...SHOP, host, image: 'shop:1.1' })
  // Next to each other: when nothing else comes for a while after a manifest, the agent writes a Canary by itself.
  const input = { apiVersion: 'v1', kind: 'List', items: [changed, canary(ns, { provider: 'traefik', analysis: ANALYSIS }), ...others] }
  const applied = await run(['apply', '-f', '-'], { input: JSON.stringify(input) })
  t.equal(applied.code, 0, applied.stderr)
  await reaches(ns, ['Succeeded'], PATIENCE_SECONDS)
  const seen = await users.settle()
  await isAdopted(t, ns, 'shop:1.1')
  t.ok(total(seen) >= MIN_REQUESTS, `${total(seen)} requests`)
  t.equal((await getCanary(ns))?.spec.gate?.generated, undefined, 'the Canary is the one that was applied')
})

test('on plain Kubernetes a run goes up and is promoted without a failed request', { skip }, async (t) => {
  const { ns, users } = await scene(t, false)
  await applyYaml(canary(ns, { provider: 'kubernetes', analysis: ANALYSIS }))
  await reaches(ns, ['Initialized'], 60)
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await reaches(ns, ['Succeeded'], PATIENCE_SECONDS)
  const seen = await users.settle()
  await isAdopted(t, ns, 'shop:1.1')
  t.ok(total(seen) >= MIN_REQUESTS, `${total(seen)} requests`)
})

test('a Canary that is deleted leaves the target serving what the primary served, without a failed request', { skip }, async (t) => {
  const { ns, users } = await scene(t, false)
  await applyYaml(canary(ns, { provider: 'traefik', progressDeadlineSeconds: 6, analysis: ANALYSIS }))
  await reaches(ns, ['Initialized'], 60)
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:unready')
  await reaches(ns, ['Failed'], 60)
  const deleted = await run(['-n', ns, 'delete', 'canary', 'cart', '--timeout=60s'])
  t.equal(deleted.code, 0, deleted.stderr)
  await waitFor('the primary to go', async () => (await deployment(ns, 'cart-primary')) === undefined, 30)
  const seen = await users.settle()
  const target = await deployment(ns, 'cart')
  t.match(target, { spec: { replicas: 3, template: { spec: { containers: [{ image: 'shop:1.0' }] } } }, status: { readyReplicas: 3 } })
  t.strictSame(Object.keys(target?.metadata.annotations ?? {}).filter((key) => key.startsWith('canarygate.dev/')), [], 'nothing of ours is left on it')
  t.ok(total(seen) >= MIN_REQUESTS, `${total(seen)} requests`)
  const rest = JSON.parse(await kubectl('-n', ns, 'get', 'service,ingressroute', '-o', 'json')) as { items: { kind: string; metadata: { name: string }; spec: object }[] }
  t.strictSame(rest.items.map(({ kind, metadata }) => `${kind} ${metadata.name}`), ['Service cart', 'IngressRoute cart'])
  t.match(rest.items[0]?.spec, { selector: { app: 'cart', 'canarygate.dev/role': undefined } })
  const image = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'])
  t.equal(image.stderr, '', 'it is an ordinary Deployment again')
})

test('a primary that never gets ready leaves the live Deployment as it was, and the Canary says why', { skip }, async (t) => {
  const ns = await namespace(t, { gated: false })
  // The quota lets no further pod of this size in: the live ones serve, a primary cannot start.
  await deployShop(ns, { replicas: 2 })
  await applyYaml({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'full', namespace: ns }, spec: { hard: { pods: '2' } } })
  const before = await deployment(ns, 'cart')
  await applyYaml(canary(ns, { provider: 'kubernetes', progressDeadlineSeconds: 5 }))
  const told = await waitFor('the Canary to say so', async () => (await events(ns)).find(({ reason }) => reason === 'CanaryPrimaryNotReady'), 60)
  t.match(told.message, /cart-primary\..* not ready/)
  t.comment(told.message)
  const after = await deployment(ns, 'cart')
  t.strictSame(after?.spec, before?.spec)
  t.match(after, { status: { readyReplicas: 2 } })
  t.match(JSON.parse(await kubectl('-n', ns, 'get', 'service', 'cart', '-o', 'jsonpath={.spec.selector}')), { app: 'cart', 'canarygate.dev/role': undefined })
  await kubectl('-n', ns, 'delete', 'resourcequota', 'full')
  t.equal(await reaches(ns, ['Initialized'], 60), 'Initialized', 'and when it can, it goes on by itself')
})
