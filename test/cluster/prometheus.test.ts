import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import { adoptedShop, beginBesideOthers, deployment, events, getCanary, imageOf, kubectl, namespace, reaches, serviceUrl, skip, startLoad, waitFor } from '../scene.ts'
import { expressions } from '../manifests/expressions.ts'

/** Prometheus itself, which nobody else asks for anything meanwhile: the other files of tests have the agent read their pods. */
await beginBesideOthers(t)

const PROMETHEUS = 'http://prometheus.monitoring:9090'
const OUTAGE_SECONDS = 20

async function scalePrometheus(replicas: number): Promise<void> {
  await kubectl('-n', 'monitoring', 'scale', 'deployment/prometheus', `--replicas=${replicas}`)
  await waitFor(`${replicas} Prometheus`, async () => ((await deployment('monitoring', 'prometheus'))?.status?.readyReplicas ?? 0) === replicas, 60)
}

test('Prometheus itself reads every rule and every panel', { skip }, async (t) => {
  const url = `${await serviceUrl('monitoring', 'prometheus')}:9090/api/v1/format_query`
  const all = await expressions()
  const answers = await Promise.all(all.map(async ({ where, text }) => ({ where, answer: await (await fetch(`${url}?${new URLSearchParams({ query: text })}`)).json() })))
  for (const { where, answer } of answers) t.match(answer, { status: 'success' }, where)
  t.match(await (await fetch(`${url}?query=sum(`)).json(), { status: 'error' }, 'a fault would be seen')
})

test('Prometheus reads the agents\' pages: one of them leads, and tells each Canary once', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const url = `${await serviceUrl('monitoring', 'prometheus')}:9090/api/v1/query`
  const valueOf = async (query: string): Promise<string | undefined> => {
    const { data } = await (await fetch(`${url}?${new URLSearchParams({ query })}`)).json() as { readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] } }
    return data?.result[0]?.value[1]
  }
  for (const query of ['sum(canarygate_leader)', `count(flagger_canary_status{name="cart",namespace="${ns}"})`, `flagger_canary_weight{workload="cart-primary",namespace="${ns}"} / 100`]) {
    t.ok(await waitFor(query, async () => (await valueOf(query)) === '1', 30).then(() => true, () => false), `${query} is 1`)
  }
  t.ok(Number(await valueOf('count(flagger_info)')) >= 1)
})

test('Prometheus goes away in mid-run: the weight holds; it comes back: the run is promoted', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, { preStopSeconds: 3 }, {
    metricsServer: PROMETHEUS, gate: { judge: { mode: 'off' } },
    analysis: {
      interval: '5s', threshold: 4, stepWeights: [30, 50],
      metrics: [{ name: 'request-success-rate', interval: '10s', thresholdRange: { min: 99 } }],
    },
  })
  const load = startLoad(t, { url: await serviceUrl(ns), rate: 40, keepAlive: false })
  t.teardown(() => scalePrometheus(1))
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await waitFor('the canary to have weight', async () => ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0, 40)
  await scalePrometheus(0)
  const before = (await getCanary(ns))?.status
  await wait(OUTAGE_SECONDS * 1_000)
  const after = (await getCanary(ns))?.status
  t.match(after, { phase: 'Progressing', canaryWeight: before?.canaryWeight ?? -1, failedChecks: before?.failedChecks ?? -1 }, 'nothing was decided without data')
  const told = (await events(ns)).filter(({ reason }) => reason === 'CanaryMetricUnavailable')
  t.comment(told)
  t.ok(told.length > 0, 'and it was told')
  await scalePrometheus(1)
  await reaches(ns, ['Succeeded'], 60)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
  t.equal((await load.stop()).failed, 0)
})
