import type { Http } from '#api/http.ts'
import { test } from 'tap'
import type { Canary, CanaryStatus } from '#api/canary.ts'
import type { WorkloadRole } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import type { Caches } from '#agent/caches.ts'
import type { Proxies } from '#agent/proxies.ts'
import { readEvidence, readMemory } from '#agent/evidence.ts'
import { createVigil } from '#agent/vigil.ts'
import { createConfig } from '#judge/config.ts'
import { judgeMode } from '#judge/settings.ts'
import { SCRAPED_PROXIES, type ScrapedProxy } from '#metrics/proxy.ts'
import type { Seen } from '#rollout/decision.ts'
import { createLogLines } from '../kube/log-lines.ts'
import { canary } from './world.ts'

const START = Date.UTC(2026, 0, 1)
const RUNNING: CanaryStatus = { phase: 'Progressing', lastAppliedSpec: 'r2', gate: { step: 0 } }
const KEY = 'shop/cart'
const [TRAEFIK, ENVOY] = SCRAPED_PROXIES as readonly [ScrapedProxy, ScrapedProxy]

const pod = (role: WorkloadRole, ip: string): KubeObject => ({
  apiVersion: 'v1', kind: 'Pod', metadata: { name: `${role}-${ip}`, namespace: 'shop', labels: { 'canarygate.dev/role': role }, annotations: { 'prometheus.io/port': '9090' } },
  spec: { containers: [{ name: 'app' }] },
  status: {
    podIP: ip, conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: new Date(START - 60_000).toISOString() }],
    containerStatuses: [{ state: { running: { startedAt: new Date(START - 120_000).toISOString() } } }],
  },
})

/** Pods answer what `failing` makes of their role: ten requests a second, with that share of failures. */
function scene({ failing = () => 0, page = () => '', pods = () => [pod('primary', '10.0.0.1'), pod('canary', '10.0.0.2')], gate = {}, metrics = [{ name: 'request-success-rate', thresholdRange: { min: 99 } }], proxies }: {
  readonly failing?: (role: string, ip: string) => number | 'down'; readonly page?: (served: number) => string; readonly pods?: () => readonly KubeObject[]; readonly gate?: Canary['spec']['gate']; readonly metrics?: Canary['spec']['analysis']['metrics']; readonly proxies?: readonly Proxies[] | undefined
} = {}) {
  let at = START
  const urls: string[] = []
  const http: Http = async ({ url }) => {
    urls.push(url)
    const { hostname } = new URL(url)
    const share = failing(['10.0.0.1', '10.0.0.9'].includes(hostname) ? 'primary' : 'canary', hostname)
    if (share === 'down') throw new Error('connect ECONNREFUSED')
    const served = (at - START) / 100
    return { status: 200, body: `# TYPE http_requests_total counter\nhttp_requests_total{code="200"} ${served - Math.round(served * share)}\nhttp_requests_total{code="500"} ${Math.round(served * share)}\n${page(served)}` }
  }
  const { log, lines } = createLogLines()
  const vigil = createVigil({ http, log, now: () => at, caches: { pods } as unknown as Caches, ...(proxies ? { proxies } : {}) })
  const object = (status: CanaryStatus): Canary => ({ ...canary({ spec: { gate }, analysis: { metrics } }), status })
  const look = (status: CanaryStatus = RUNNING, weight = 50, more: Partial<Seen> = {}, why?: 'decision') =>
    vigil.look(object(status), { deleting: false, canary: { readyReplicas: 1 }, routes: { primary: 100 - weight, canary: weight, mirror: false }, ...more } as Seen, why)
  return { vigil, urls, lines, look, pass: (ms: number): void => { at += ms } }
}

for (const phase of ['Initialized', 'Succeeded', 'Failed', 'Promoting', 'Waiting'] as const) {
  test(`${phase}: no pod is asked and no look is wanted`, async (t) => {
    const { look, urls } = scene()
    t.same(await look({ ...RUNNING, phase }), { judgement: undefined, nextAt: undefined })
    t.same(urls, [])
  })
}

test('during a run both arms are asked at once, every five seconds', async (t) => {
  const { look, urls, pass } = scene()
  t.equal((await look()).nextAt, START + 5_000)
  t.same(urls.toSorted(), ['http://10.0.0.1:9090/metrics', 'http://10.0.0.2:9090/metrics'])
  pass(4_000)
  await look()
  t.equal(urls.length, 2, 'not earlier')
  pass(1_000)
  await look()
  t.equal(urls.length, 4)
})

test('a change of weight is looked at just after it, so that no stretch mixes two weights', async (t) => {
  const { look, urls } = scene()
  await look(RUNNING, 0)
  await look(RUNNING, 50)
  t.equal(urls.length, 4)
})

test('for a decision the pods are asked whatever the time, unless they were just now', async (t) => {
  const { vigil, urls, pass, look } = scene()
  const decide = () => look(RUNNING, 50, {}, 'decision')
  await look()
  await decide()
  t.equal(urls.length, 2)
  pass(1_000)
  await decide()
  t.equal(urls.length, 4)
  t.match(vigil.measure(KEY, 'request-success-rate', 'canary', 60), { kind: 'value', value: 100 })
})

test('one bad pod of four is named, a bad release is not blamed on one', async (t) => {
  const pods = [pod('primary', '10.0.0.1'), ...['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'].map((ip) => pod('canary', ip))]
  for (const { failing, named } of [
    { failing: (_: string, ip: string) => (ip === '10.0.0.4' ? 1 : 0), named: /nearly all of it in pod canary-10\.0\.0\.4, which fails 100 % of 300 requests; the other 3 0 % of 900$/ },
    { failing: (role: string) => (role === 'canary' ? 1 : 0), named: undefined },
  ]) {
    const { vigil, look, pass } = scene({ failing, pods: () => pods, gate: { judge: { mode: 'enforce' } } })
    let last = (await look()).judgement
    for (let round = 0; round < 6; round += 1) {
      pass(5_000)
      last = (await look()).judgement
    }
    t.equal(last?.verdict, 'Worse')
    t[named ? 'match' : 'notMatch'](last?.words, named ?? /pod /)
    t.match(vigil.badPod(KEY, 60), named)
  }
})

test('one slow pod of four is named by the judge, too', async (t) => {
  let at = START
  const http: Http = async ({ url }) => {
    const served = (at - START) / 50
    const slow = url.includes('10.0.0.4') ? served / 2 : 0
    const lines = [['0.1', served - slow], ['0.5', served - slow], ['+Inf', served]].map(([le, count]) => `http_request_duration_seconds_bucket{le="${le}"} ${count}`)
    return { status: 200, body: [`http_requests_total{code="200"} ${served}`, ...lines, ''].join('\n') }
  }
  const pods = [pod('primary', '10.0.0.1'), ...['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5'].map((ip) => pod('canary', ip))]
  const vigil = createVigil({ http, log: createLogLines().log, now: () => at, caches: { pods: () => pods } as unknown as Caches })
  const spec = { ...canary({ spec: { gate: { judge: { mode: 'enforce' } } }, analysis: { metrics: [{ name: 'request-duration', thresholdRange: { max: 500 } }] } }), status: RUNNING }
  let words: string | undefined
  for (let round = 0; round < 8; round += 1) {
    words = (await vigil.look(spec, { deleting: false, canary: { readyReplicas: 4 }, routes: { primary: 50, canary: 50, mirror: false } } as Seen)).judgement?.words
    at += 5_000
  }
  const named = /pod canary-10\.0\.0\.4, which answers 50 % of \d+ requests slower than 500 ms; the other 3 0 % of/
  t.match(words, named)
  t.match(vigil.badPod(KEY, 60, 500), named)
  t.equal(vigil.badPod(KEY, 60), undefined)
})

for (const { name, ports, isNew } of [
  { name: 'the one that serves the page restarts', ports: { sidecar: 9090 }, isNew: true },
  { name: 'another one restarts', ports: { app: 9090 }, isNew: false },
  { name: 'another one restarts, and none says whose the port is', ports: {}, isNew: false },
] as const) {
  test(`of two containers ${name}: only its own restart makes counters new requests`, async (t) => {
    let restartedAt = START - 120_000
    const two = (): KubeObject => {
      const { spec: _, status, ...rest } = pod('canary', '10.0.0.2') as KubeObject & { readonly spec: object; readonly status: object }
      const container = (container: 'app' | 'sidecar') => ({ name: container, ports: container in ports ? [{ containerPort: (ports as Record<string, number>)[container] }] : [] })
      const running = (container: string, at: number) => ({ name: container, state: { running: { startedAt: new Date(at).toISOString() } } })
      return {
        ...rest, spec: { containers: [container('app'), container('sidecar')] },
        status: { ...status, startTime: new Date(START - 130_000).toISOString(), containerStatuses: [running('app', START - 120_000), running('sidecar', restartedAt)] },
      } as KubeObject
    }
    // A canary that failed before, and answers well now: its old failures are nobody's twice.
    let failures = 20
    const { log } = createLogLines()
    let at = START
    const http: Http = async () => ({ status: 200, body: `http_requests_total{code="200"} 100\nhttp_requests_total{code="500"} ${failures}\n` })
    const vigil = createVigil({ http, log, now: () => at, caches: { pods: () => [pod('primary', '10.0.0.1'), two()] } as unknown as Caches })
    const look = () => vigil.look({ ...canary(), status: RUNNING }, { deleting: false, canary: { readyReplicas: 1 }, routes: { primary: 50, canary: 50, mirror: false } } as Seen)
    await look()
    at += 5_000
    restartedAt = at - 1_000
    failures = 24
    await look()
    const rate = vigil.measure(KEY, 'error-rate', 'canary', 60)
    t.match(rate, { kind: 'value', value: isNew ? 100 * (24 / 124) : 100 })
  })
}

test('beside a baseline the canary is compared with it, by name, and not with the primary', async (t) => {
  const pods = [pod('primary', '10.0.0.1'), pod('canary', '10.0.0.2'), pod('baseline', '10.0.0.3')]
  const beside = { routes: { primary: 90, canary: 10, mirror: false, baseline: 10 } }
  for (const { name, failing, verdict } of [
    { name: 'the primary alone is good, of warm caches say', failing: (_: string, ip: string) => (ip === '10.0.0.1' ? 0 : 0.2), verdict: 'BothBad' },
    { name: 'the canary alone is bad', failing: (_: string, ip: string) => (ip === '10.0.0.2' ? 0.2 : 0), verdict: 'Worse' },
  ]) {
    const { look, pass, urls } = scene({ failing, pods: () => pods, gate: { judge: { mode: 'enforce' }, baseline: {} } })
    let last = (await look(RUNNING, 10, beside)).judgement
    t.same(urls.toSorted(), ['http://10.0.0.2:9090/metrics', 'http://10.0.0.3:9090/metrics'], 'nobody else is asked')
    for (let round = 0; round < 8; round += 1) {
      pass(5_000)
      last = (await look(RUNNING, 10, beside)).judgement
    }
    t.equal(last?.verdict, verdict, name)
    t.match(last?.words, /canary fails 20 % of .* requests, baseline /)
  }
})

test('one bad pod of the baseline is named and left out: it is no excuse for the canary', async (t) => {
  const pods = [pod('canary', '10.0.0.2'), ...['10.0.0.3', '10.0.0.4', '10.0.0.5'].map((ip) => pod('baseline', ip))]
  const beside = { routes: { primary: 90, canary: 10, mirror: false, baseline: 10 } }
  const named = /; pod baseline-10\.0\.0\.4 fails 100 % of 400 requests, the other 2 0 % of 800: it is left out of the baseline$/
  for (const { name, failing, verdict, words, kept } of [
    { name: 'the canary fails, too', failing: (ip: string) => (ip === '10.0.0.4' ? 1 : ip === '10.0.0.2' ? 0.2 : 0), verdict: 'Worse', words: named, kept: 100 },
    { name: 'the canary is fine', failing: (ip: string) => (ip === '10.0.0.4' ? 1 : 0), verdict: 'Good', words: named, kept: 100 },
    { name: 'all pods of the baseline fail', failing: () => 0.5, verdict: 'BothBad', words: /^both arms are bad: [^;]*$/, kept: 50 },
  ]) {
    const { vigil, look, pass } = scene({ failing: (_, ip) => failing(ip), pods: () => pods, gate: { judge: { mode: 'enforce' }, baseline: {} } })
    let last = (await look(RUNNING, 10, beside)).judgement
    for (let round = 0; round < 8; round += 1) {
      pass(5_000)
      last = (await look(RUNNING, 10, beside)).judgement
    }
    t.equal(last?.verdict, verdict, name)
    t.match(last?.words, words, name)
    t.match(vigil.measure(KEY, 'request-success-rate', 'primary', 60), { kind: 'value', value: kept }, `${name}: nor does the stable revision fail its check for one pod`)
  }
})

test('a stretch in which the baseline came or went is no evidence', async (t) => {
  const pods = [pod('primary', '10.0.0.1'), pod('canary', '10.0.0.2'), pod('baseline', '10.0.0.3')]
  const { look, pass, urls } = scene({ pods: () => pods, gate: { judge: { mode: 'enforce' }, baseline: {} } })
  const beside = { routes: { primary: 90, canary: 10, mirror: false, baseline: 10 } }
  await look(RUNNING, 10)
  pass(1_000)
  t.equal((await look(RUNNING, 10, beside)).judgement?.words, 'nothing compared yet')
  t.equal(urls.length, 4, 'and is looked at just after it')
  pass(5_000)
  t.match((await look(RUNNING, 10, beside)).judgement?.words, /^too few requests to tell/)
})

test('while the canary\'s pods start the primary teaches how failures bunch', async (t) => {
  const pods = [pod('primary', '10.0.0.1'), pod('primary', '10.0.0.9'), { ...pod('canary', '10.0.0.2'), status: {} }]
  const { look, pass } = scene({ failing: (_, ip) => (ip === '10.0.0.1' ? 0.1 : 0), pods: () => pods })
  const starting: CanaryStatus = { ...RUNNING, gate: { step: -1 } }
  let last = (await look(starting, 0, { canary: { readyReplicas: 0 } as Seen['canary'] })).judgement
  for (let round = 0; round < 3; round += 1) {
    pass(5_000)
    last = (await look(starting, 0, { canary: { readyReplicas: 0 } as Seen['canary'] })).judgement
  }
  const [learnt] = readMemory({ gate: { judge: { memory: last?.record?.memory } } } as CanaryStatus)['errors'] ?? []
  // All failures are one pod's: more uneven than chance would have it.
  t.ok(learnt && learnt.num > learnt.den && learnt.den > 10, JSON.stringify(learnt))
})

for (const { warmUp, counted } of [{ warmUp: undefined, counted: false }, { warmUp: '10s', counted: true }, { warmUp: '2m', counted: false }]) {
  test(`latency of pods that are ready for 20 s is ${counted ? '' : 'not '}compared with warmUp ${warmUp ?? 'left out'}`, async (t) => {
    const fresh = (role: WorkloadRole, ip: string): KubeObject => {
      const { status, ...rest } = pod(role, ip)
      return { ...rest, status: { ...(status as object), conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: new Date(START).toISOString() }] } }
    }
    const page = (served: number): string => `# TYPE http_request_duration_seconds histogram\n${['0.1', '0.5', '+Inf'].map((le) => `http_request_duration_seconds_bucket{le="${le}"} ${served}`).join('\n')}\nhttp_request_duration_seconds_count ${served}\nhttp_request_duration_seconds_sum 1\n`
    const gate = { judge: warmUp === undefined ? {} : { warmUp } }
    const { look, pass } = scene({ page, gate, metrics: [{ name: 'request-duration', thresholdRange: { max: 500 } }], pods: () => [fresh('primary', '10.0.0.1'), fresh('canary', '10.0.0.2')] })
    let last = (await look()).judgement
    for (let round = 0; round < 4; round += 1) {
      pass(5_000)
      last = (await look()).judgement
    }
    const found = readEvidence({ gate: { judge: { state: last?.record?.state } } } as CanaryStatus, (bounds) => createConfig({ metrics: [{ name: 'errors', kind: 'rate' }, { name: 'latency', kind: 'histogram', bounds, slo: 500 }] }))
    t.match(found?.state.metrics, [{ name: 'errors' }, { name: 'latency' }])
    t.equal((found?.state.metrics[1]?.channels[0]?.seen.nc ?? 0) > 0, counted)
  })
}

test('pods that are all gone, or a Canary that is being deleted, are not asked', async (t) => {
  const { look, urls } = scene()
  await look(RUNNING, 0, { canary: { readyReplicas: 0 } as Seen['canary'] })
  await look(RUNNING, 0, { deleting: true })
  t.same(urls, [])
})

test('a canary that fails where the primary does not is found worse, in words', async (t) => {
  const { look, pass } = scene({ failing: (role) => (role === 'canary' ? 0.3 : 0), gate: { judge: { mode: 'enforce' } } })
  let last = (await look()).judgement
  for (let round = 0; round < 12 && last?.verdict !== 'Worse'; round += 1) {
    pass(5_000)
    last = (await look()).judgement
  }
  t.match(last, { mode: 'enforce', verdict: 'Worse', words: /./ })
})

test('with the judge off the pods are asked for the thresholds, and nothing is judged', async (t) => {
  const { look, pass, vigil } = scene({ gate: { judge: { mode: 'off' } } })
  for (let round = 0; round < 4; round += 1) {
    t.equal((await look()).judgement, undefined)
    pass(5_000)
  }
  t.match(vigil.measure(KEY, 'request-success-rate', 'canary', 60), { kind: 'value', value: 100 })
})

test('what is measured is the canary\'s share of successes, and nothing before the second round', async (t) => {
  const { look, pass, vigil } = scene({ failing: (role) => (role === 'canary' ? 0.2 : 0) })
  t.equal(vigil.measure(KEY, 'request-success-rate', 'canary', 60), undefined)
  await look()
  t.not(vigil.measure(KEY, 'request-success-rate', 'canary', 60)?.kind, 'value')
  pass(5_000)
  await look()
  t.match(vigil.measure(KEY, 'request-success-rate', 'canary', 60), { kind: 'value', value: 80 })
})

test('pods that do not answer make no verdict, and no fault', async (t) => {
  const { look, pass, lines, vigil } = scene({ failing: () => 'down' })
  for (let round = 0; round < 3; round += 1) {
    t.equal((await look()).judgement, undefined)
    pass(5_000)
  }
  t.not(vigil.measure(KEY, 'request-success-rate', 'canary', 60)?.kind, 'value')
  t.same(lines.filter(({ level }) => level >= 50), [])
})

test('another revision, and a forgotten Canary, begin with nothing known', async (t) => {
  const { look, pass, vigil } = scene()
  await look()
  pass(5_000)
  await look()
  t.match(vigil.measure(KEY, 'request-success-rate', 'canary', 60), { kind: 'value' })
  await look({ ...RUNNING, lastAppliedSpec: 'r3' })
  t.not(vigil.measure(KEY, 'request-success-rate', 'canary', 60)?.kind, 'value')
  vigil.forget(KEY)
  t.equal(vigil.measure(KEY, 'request-success-rate', 'canary', 60), undefined)
})

test('after some seconds of traffic it is said that the analysis is too short to tell, until the status says so', async (t) => {
  const { look, pass } = scene()
  const words: (string | undefined)[] = []
  for (let round = 0; round < 8; round += 1) {
    words.push((await look()).judgement?.tooShort)
    pass(5_000)
  }
  t.same(words.slice(0, 6), [undefined, undefined, undefined, undefined, undefined, undefined])
  t.match(words[7], /^at 20 requests\/s, telling 98 % success from the primary's 100 % needs about .* of 50 % weight, and this analysis lasts 10s in all: it can tell nothing; an interval 8 times as long would do$/)
  t.equal((await look({ ...RUNNING, gate: { step: 0, judge: { told: ['CanaryAnalysisTooShort'] } } })).judgement?.tooShort, undefined)
})

/** The status as the core writes it while the run goes on. */
const recordedIn = (judgement: Awaited<ReturnType<ReturnType<typeof scene>['look']>>['judgement'], step = 0): CanaryStatus => ({ ...RUNNING, gate: { step, judge: { ...judgement?.record } } })

test('another agent goes on with the evidence, and counts the stretch since the last poll', async (t) => {
  const failing = (role: string) => (role === 'canary' ? 0.1 : 0)
  const { look, pass, vigil, lines } = scene({ failing })
  let status = RUNNING
  for (let round = 0; round < 3; round += 1) {
    status = recordedIn((await look(status)).judgement)
    pass(5_000)
  }
  const before = (await look(status)).judgement
  vigil.takeOver()
  pass(8_000)
  const taken = (await look(recordedIn(before))).judgement
  t.ok(lines.some(({ msg }) => msg === 'the evidence of the run was taken over'))
  t.match(before?.words, /canary fails .* of 150 requests/)
  t.match(taken?.words, /canary fails .* of 230 requests/)
})

test('counters of pods that are not there any more are not gone on from', async (t) => {
  let pods = [pod('primary', '10.0.0.1'), pod('canary', '10.0.0.2')]
  const { look, pass, vigil } = scene({ failing: (role) => (role === 'canary' ? 0.1 : 0), pods: () => pods })
  await look()
  pass(5_000)
  const before = (await look()).judgement
  vigil.takeOver()
  pods = [pod('primary', '10.0.0.1'), pod('primary', '10.0.0.9'), pod('canary', '10.0.0.2')]
  pass(5_000)
  t.equal((await look(recordedIn(before))).judgement?.words, before?.words, 'the stretch is lost')
})

test('a run that begins anew has an error rate of its own', async (t) => {
  const { look, pass } = scene({ failing: (role) => (role === 'canary' ? 0.3 : 0) })
  let last = (await look()).judgement
  for (let round = 0; round < 12 && last?.verdict !== 'Worse'; round += 1) {
    pass(5_000)
    last = (await look()).judgement
  }
  t.equal(last?.verdict, 'Worse')
  pass(5_000)
  t.notMatch((await look(recordedIn(last, -1), 0)).judgement, { verdict: 'Worse' })
})

test('a Canary that a person wrote is warned about, one of the agent\'s is judged, unless it says otherwise', async (t) => {
  t.equal(judgeMode(canary().spec), 'warn')
  t.equal(judgeMode(canary({ spec: { gate: { generated: true } } }).spec), 'enforce')
  t.equal(judgeMode(canary({ spec: { gate: { generated: true, judge: { mode: 'off' } } } }).spec), 'off')
})

for (const { name, provider, proxies, reason } of [
  { name: 'another provider', provider: 'kubernetes', proxies: [], reason: /needs spec\.provider traefik or gatewayapi:v1 or gatewayapi:v1beta1, and it is kubernetes: use pods/ },
  { name: 'an agent that was not told of the proxy', provider: 'traefik', proxies: undefined, reason: /set its TRAEFIK_METRICS/ },
  { name: 'an agent that was not told which proxy the Gateway is', provider: 'gatewayapi:v1', proxies: undefined, reason: /set its TRAEFIK_METRICS, like traefik\/traefik:9100, or ENVOY_METRICS, like projectcontour\/envoy:8002/ },
  { name: 'a proxy without pods', provider: 'traefik', proxies: [], reason: /a Service without a ready pod/ },
]) {
  test(`counters of a proxy, with ${name}: not known, and it says why`, async (t) => {
    const { vigil, look, urls } = scene({ gate: { scrape: { from: 'proxy' } }, proxies: proxies && [{ proxy: TRAEFIK, pods: async () => proxies }] })
    await look(RUNNING, 50, { provider: { name: provider, settleMs: 0, weightsByReplicas: false } })
    t.match(vigil.measure(KEY, 'request-success-rate', 'canary', 60), { kind: 'unavailable', reason })
    t.same(urls, [])
  })
}

test('behind a Gateway whoever routes counts: every proxy is asked, by its own names', async (t) => {
  let at = START
  const urls = new Set<string>()
  const http: Http = async ({ url }) => {
    urls.add(url)
    const served = (at - START) / 100
    const lines = (arm: string, bad: number) => ['2', '5'].map((code) =>
      `envoy_cluster_upstream_rq_xx{envoy_response_code_class="${code}",envoy_cluster_name="shop_cart-${arm}_80"} ${code === '5' ? bad : served - bad}`)
    return { status: 200, body: url.includes(':8002') ? [...lines('canary', served / 4), ...lines('primary', 0), ''].join('\n') : 'traefik_config_reloads_total 3\n' }
  }
  const proxyPod = (name: string, port: number, path: string) => ({ name, ip: '10.0.0.7', port, path, scheme: 'http', startedAtMs: 0, ready: true }) as const
  const vigil = createVigil({
    http, log: createLogLines().log, now: () => at, caches: { pods: () => [pod('primary', '10.0.0.1'), pod('canary', '10.0.0.2')] } as unknown as Caches,
    proxies: [{ proxy: TRAEFIK, pods: async () => [proxyPod('traefik-1', 9100, '/metrics')] }, { proxy: ENVOY, pods: async () => [proxyPod('envoy-1', 8002, '/stats/prometheus')] }],
  })
  const spec = { ...canary({ spec: { provider: 'gatewayapi:v1', gate: { scrape: { from: 'proxy' } } } }), status: RUNNING }
  for (let round = 0; round < 3; round += 1) {
    await vigil.look(spec, { deleting: false, canary: { readyReplicas: 1 }, routes: { primary: 50, canary: 50, mirror: false }, provider: { name: 'gatewayapi:v1', settleMs: 0, weightsByReplicas: false } } as Seen)
    at += 5_000
  }
  t.same([...urls].sort(), ['http://10.0.0.7:8002/stats/prometheus', 'http://10.0.0.7:9100/metrics'])
  t.match(vigil.measure(KEY, 'error-rate', 'canary', 60), { kind: 'value', value: 25 })
  t.match(vigil.measure(KEY, 'error-rate', 'primary', 60), { kind: 'value', value: 0 })
})

test('an API server that does not name the proxy\'s pods is what is said', async (t) => {
  const { vigil, look, lines } = scene({ gate: { scrape: { from: 'proxy' } }, proxies: [{ proxy: TRAEFIK, pods: async () => { throw new Error('endpointslices.discovery.k8s.io is forbidden') } }] })
  await look(RUNNING, 50, { provider: { name: 'traefik', settleMs: 0, weightsByReplicas: false } })
  t.match(vigil.measure(KEY, 'request-success-rate', 'canary', 60), { kind: 'unavailable', reason: 'the pods could not be asked: endpointslices.discovery.k8s.io is forbidden' })
  t.ok(lines.some(({ msg }) => msg === 'pods could not be watched'))
})

test('a canary whose pods cannot be read is not only said to have no traffic', async (t) => {
  const { look, pass } = scene({ failing: (role) => (role === 'canary' ? 'down' : 0) })
  let last = (await look()).judgement
  for (let round = 0; round < 8; round += 1) {
    pass(5_000)
    last = (await look()).judgement
  }
  t.match(last, { verdict: 'NoData', words: /are they scraped\?; no pod of the canary answers; canary-10\.0\.0\.2: connect ECONNREFUSED$/ })
})

test('a pod that hangs holds up its run for three rounds, not for all', async (t) => {
  let at = START
  const deadlines: number[] = []
  const http: Http = async ({ url, deadlineMs }) => {
    if (!url.includes('10.0.0.3')) return { status: 200, body: `http_requests_total{code="200"} ${(at - START) / 100}\n` }
    deadlines.push(deadlineMs)
    throw new Error(`no answer within ${deadlineMs} ms`)
  }
  const pods = [pod('primary', '10.0.0.1'), pod('canary', '10.0.0.2'), pod('canary', '10.0.0.3')]
  const vigil = createVigil({ http, log: createLogLines().log, now: () => at, caches: { pods: () => pods } as unknown as Caches })
  for (let round = 0; round < 5; round += 1) {
    await vigil.look({ ...canary(), status: RUNNING }, { deleting: false, canary: { readyReplicas: 2 }, routes: { primary: 50, canary: 50, mirror: false } } as Seen)
    at += 5_000
  }
  t.same(deadlines, [1_000, 1_000, 1_000, 200, 200])
  t.match(vigil.measure(KEY, 'error-rate', 'canary', 60), { kind: 'value', value: 0 })
})
