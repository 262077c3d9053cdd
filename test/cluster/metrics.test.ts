import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import {
  adoptedShop, annotationsOf, begin, cluster, deployment, deployShop, events, getCanary, imageOf, kubectl, namespace, reaches, run, serviceUrl, skip, startLoad, waitFor,
} from '../scene.ts'
import { expressions } from '../manifests/expressions.ts'

/** Runs whose source of metrics goes away, and runs that never had a server for them. */
await begin(t)

const PROMETHEUS = 'http://prometheus.monitoring:9090'
const OUTAGE_SECONDS = 20
/** From the first request that a broken version answers to no weight on it. */
const DETECTION_SECONDS = 7
/** Until five failed checks, one a minute. */
const COUNTING_SECONDS = 300
/** Users' requests a second. */
const RATE = 40

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

test('without any metrics server, a version that fails every request is rolled back within 7 s of its first one', { skip }, async (t) => {
  const ns = await namespace(t)
  const host = `${ns}.example.org`
  await deployShop(ns, { host, replicas: 2, preStopSeconds: 3 })
  const load = startLoad(t, { url: await serviceUrl(ns), rate: 40 })
  const { stderr } = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:broken'])
  t.match(stderr, /is held as revision/)
  const routed = startLoad(t, { url: cluster().traefikUrl, host, rate: RATE })
  const weight = await waitFor('weight on the canary', async () => ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0 && performance.now(), 60, 50)
  await reaches(ns, ['Failed'], 30)
  const seconds = (performance.now() - weight) / 1_000
  await wait(2_000)
  const summary = await routed.stop()
  t.comment(`${seconds.toFixed(1)} s from the first weight to the rollback; ${summary.failed} of ${summary.total} requests failed: ${JSON.stringify(summary.byVersionAndCode)}`)
  const counted = Math.round((RATE / 2) * COUNTING_SECONDS)
  t.comment(`a rule that counts checks (interval 1m, threshold 5) would have left half of the users with it for ${COUNTING_SECONDS} s: about ${counted} failed requests`)
  t.ok(summary.failed < counted / 10, `${summary.failed} failed requests, where counting checks costs about ${counted}`)
  t.ok(seconds <= DETECTION_SECONDS, `${seconds.toFixed(1)} s from the first weight to the rollback`)
  t.equal((await load.stop()).failed, 0, 'who calls the Service itself never met the canary')
  t.match((await annotationsOf(ns))['canarygate.dev/gate'], /^failed: canary fails/)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.0')
  const good = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'])
  t.equal(good.code, 0)
  await reaches(ns, ['Progressing'], 10)
})
