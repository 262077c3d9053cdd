import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { stringify } from 'yaml'
import type { LintFinding } from '#cli/lint-report.ts'
import { lintCommand } from '#cli/lint.ts'
import { main } from '#cli/main.ts'
import { nodeIo } from '#cli/manifests.ts'
import { capabilities } from '#traffic/registry.ts'

/**
 * Canaries as the guides that people start from write them: what is advised there passes, what is unsafe is warned about, and what could not
 * work is refused. Their times are the ones that those guides reckon: interval x (maxWeight / stepWeight) or x iterations, and interval x threshold.
 */
const { test } = t
const directory = mkdtempSync(join(tmpdir(), 'canarygate-guides-'))
t.teardown(() => rmSync(directory, { recursive: true }))

const RATE = (min: number, interval?: string) => ({ name: 'request-success-rate', ...(interval ? { interval } : {}), thresholdRange: { min } })
const TIME = (max: number, interval?: string) => ({ name: 'request-duration', ...(interval ? { interval } : {}), thresholdRange: { max } })
const ERRORS = { name: 'error-rate', thresholdRange: { max: 1 } }
const THREE = [RATE(99.5), TIME(500), ERRORS]
const load = (cmd: string, more: object = {}) => [{ name: 'load-test', url: 'http://flagger-loadtester/', ...more, metadata: { cmd } }]
/** The settings that one guide gives for canary and Blue/Green alike. */
const COMMON = {
  service: { name: 'hoya-demo', port: 5000, targetPort: 5000 },
  ingressRef: { apiVersion: 'networking.k8s.io/v1', kind: 'Ingress', name: 'prod-ingress' },
  autoscalerRef: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'podinfo' },
  progressDeadlineSeconds: 60, skipAnalysis: false,
}
const COMMON_ANALYSIS = {
  metrics: [RATE(95, '1m'), TIME(500, '1m')], stepWeightPromotion: 40,
  webhooks: [{
    name: 'load-test', type: 'pre-rollout', url: 'http://flagger-loadtester.default/', timeout: '5s',
    metadata: { type: 'cmd', cmd: 'hey -z 60s -q 10 -c 2 -host uracle.local http://ingress-nginx-controller.ingress-nginx' },
  }],
}

type Row = {
  readonly name: string; readonly provider?: string; readonly spec?: object; readonly analysis: object
  readonly denied?: readonly string[]; readonly warned?: readonly string[]; readonly seconds?: number; readonly untilRollback?: number
}
const rows: readonly Row[] = [
  {
    name: 'no metrics at all: nothing judges it, which is said', analysis: { interval: '30s', threshold: 5, maxWeight: 50, stepWeight: 10 },
    warned: ['nothing-checked'], seconds: 150, untilRollback: 150,
  },
  {
    name: 'two metrics whose windows are longer than a step', analysis: { interval: '30s', threshold: 5, maxWeight: 50, stepWeight: 10, metrics: [RATE(99, '1m'), TIME(500, '1m')] },
    warned: ['metric-window-mixes-steps', 'metric-window-mixes-steps'], seconds: 150, untilRollback: 150,
  },
  {
    name: 'a payment service', analysis: { interval: '1m', threshold: 3, maxWeight: 50, stepWeight: 10, metrics: [RATE(99.9), TIME(200)], webhooks: load('hey -z 1m -q 50 -c 5 http://payment-service:8080/health') },
    seconds: 300, untilRollback: 180,
  },
  {
    name: 'the API of a shop', analysis: { interval: '1m', threshold: 3, maxWeight: 50, stepWeight: 10, metrics: [RATE(99.5), TIME(300)], webhooks: load('hey -z 1m -q 10 -c 2 http://my-app:8080/', { timeout: '5s' }) },
    seconds: 300, untilRollback: 180,
  },
  { name: 'conservative', analysis: { interval: '2m', threshold: 3, maxWeight: 30, stepWeight: 5, metrics: THREE }, seconds: 720, untilRollback: 360 },
  { name: 'balanced', analysis: { interval: '1m', threshold: 5, maxWeight: 50, stepWeight: 10, metrics: THREE }, seconds: 300, untilRollback: 300 },
  {
    name: 'aggressive: all requests without anybody being asked', analysis: { interval: '30s', threshold: 3, maxWeight: 100, stepWeight: 20, metrics: THREE },
    warned: ['full-traffic-without-hold', 'metric-window-mixes-steps', 'metric-window-mixes-steps', 'metric-window-mixes-steps'], seconds: 150, untilRollback: 90,
  },
  {
    name: 'metrics of the business that nobody says how to measure', analysis: { interval: '1m', threshold: 5, maxWeight: 50, stepWeight: 10, metrics: [...THREE, { name: 'order-success-rate', thresholdRange: { min: 98 } }] },
    denied: ['metric-source'],
  },
  { name: 'listed weights', spec: COMMON, analysis: { interval: '1m', threshold: 10, stepWeights: [10, 25, 50, 90], ...COMMON_ANALYSIS }, seconds: 240, untilRollback: 600 },
  {
    name: 'both ways at once, which Flagger refuses as well', spec: COMMON, analysis: { interval: '1m', threshold: 10, stepWeight: 20, maxWeight: 100, stepWeights: [10, 25, 50, 90], ...COMMON_ANALYSIS },
    denied: ['one-strategy'], warned: ['max-weight-ignored'],
  },
  { name: 'five percent first, and everything in the end', analysis: { interval: '1m', threshold: 5, stepWeights: [5, 25, 50, 75, 100], metrics: THREE }, warned: ['full-traffic-without-hold'], seconds: 300, untilRollback: 300 },
  { name: 'Blue/Green', spec: COMMON, analysis: { interval: '1m', threshold: 2, iterations: 10, ...COMMON_ANALYSIS }, seconds: 600, untilRollback: 120 },
  { name: 'Blue/Green without a router', provider: 'kubernetes', spec: COMMON, analysis: { interval: '1m', threshold: 2, iterations: 10, ...COMMON_ANALYSIS }, seconds: 600, untilRollback: 120 },
  ...['nginx', 'istio', 'linkerd'].map((provider): Row => ({
    name: `a router that is not driven here: ${provider}`, provider, spec: COMMON, analysis: { interval: '1m', threshold: 2, iterations: 10, ...COMMON_ANALYSIS }, warned: ['provider-supported'],
  })),
]

for (const { name, provider = 'traefik', spec, analysis, denied = [], warned = [], seconds, untilRollback } of rows) {
  test(name, async (t) => {
    const path = join(directory, 'canary.yaml')
    writeFileSync(path, stringify({
      apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'my-app' },
      spec: { provider, targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'my-app' }, service: { port: 8080 }, ...spec, analysis },
    }))
    let out = ''
    const code = await lintCommand(['-f', path, '-o', 'json'], { ...nodeIo, out: (text) => { out += text }, err: () => undefined, providers: capabilities })
    t.equal(code, denied.length > 0 ? 1 : 0)
    const { findings } = JSON.parse(out) as { readonly findings: readonly LintFinding[] }
    const rulesAt = (wanted: string) => findings.filter(({ severity }) => severity === wanted).map(({ rule }) => rule).sort()
    t.same(rulesAt('deny'), denied)
    // None of those guides tells how to be alerted in the Canary itself.
    t.same(rulesAt('warn').filter((rule) => rule !== 'no-alerts'), warned)
    t.ok(findings.every(({ fix }) => fix !== ''), 'each with a way out')
    if (seconds === undefined) return
    let plan = ''
    await main(['plan', '-f', path, '-o', 'json'], { out: (text) => { plan += text }, err: () => undefined })
    t.match(JSON.parse(plan), { durationSeconds: seconds, rollbackSeconds: untilRollback })
  })
}
