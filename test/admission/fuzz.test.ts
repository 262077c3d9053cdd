import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { t, test, type Test } from 'tap'
import type { ClusterCanaryPolicy } from '#api/policies.ts'
import { governedRules } from '#admission/governed.ts'
import { HOOK_PATHS, type HookPath } from '#admission/hooks.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { createAdmissionServer, type AdmissionServer } from '#admission/server.ts'
import { createGoverning } from '#policy/governing.ts'
import { FLAGGER_ROUTERS } from '#policy/flagger-routers.ts'
import { selfSigned } from './fixtures/certificate.ts'
import { AGENT, applied, canary, NOW, patchOf, request, reviewBody, stateOf, workload } from './fixtures/reviews.ts'

/**
 * Reviews with parts replaced, dropped, doubled and cut: whatever arrives, the answer is a review whose patch applies, and what it gave
 * needs no second patch. `FUZZ_RUNS` and `FUZZ_SEED` choose another run; a fault names both.
 */

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 100_000)
/** Of those, over a real TLS socket: what a parser of HTTP might do. */
const RUNS_OVER_TLS = Math.ceil(RUNS / 50)
const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_121)
/** A loaded machine takes several times the half minute of an idle one (ms). */
const LONGEST_MS = 400_000

t.setTimeout(LONGEST_MS)

/** Mulberry32: the same seed gives the same run. */
function createRandom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

const OWNED = { 'canarygate.dev/replicas': '3', 'canarygate.dev/gate': 'pending', 'canarygate.dev/revision': '1aaaaaaaaaa', 'canarygate.dev/requested-by': 'bob' }
const PRIMARY = { name: 'cart-primary', labels: { 'canarygate.dev/role': 'primary' } }
const CANARIES = { group: 'flagger.app', resource: 'canaries', kind: 'Canary' } as const
const POLICIES = { group: 'canarygate.dev', resource: 'clustercanarypolicies', kind: 'ClusterCanaryPolicy', namespace: '' } as const
const service = (selector: object) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'cart', namespace: 'shop' }, spec: { selector, ports: [{ port: 80 }] } })
const generated = (selector: object) => ({
  ...service(selector),
  metadata: {
    name: 'cart-canary', namespace: 'shop', labels: { 'app.kubernetes.io/managed-by': 'canarygate' }, annotations: { 'canarygate.dev/break-glass': 'INC-7' },
    ownerReferences: [{ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', name: 'cart', uid: 'u' }],
    managedFields: [{ manager: 'kubectl', time: new Date(NOW).toISOString(), fieldsV1: { 'f:metadata': { 'f:annotations': { 'f:canarygate.dev/break-glass': {} } } } }],
  },
})
const space = (labels: Readonly<Record<string, string>>) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels } })
const scale = (spec: object) => ({ apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'cart' }, spec })
const FULL_ANALYSIS = {
  interval: '1m', threshold: 5, stepWeights: [5, 20, 50], stepWeightPromotion: 50, primaryReadyThreshold: 80,
  metrics: [{ name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }, { name: 'mine', templateRef: { name: 'mine' }, interval: '1m', thresholdRange: { max: 1 } }],
  webhooks: [{ name: 'load', type: 'rollout' as const, url: 'http://load.shop/', timeout: '5s', metadata: { cmd: 'hey http://cart/' } }],
  alerts: [{ name: 'team', severity: 'error' as const, providerRef: { name: 'team' } }], sessionAffinity: { cookieName: 'c' },
}
const ABOUT_POLICY = {
  limits: { maxWeight: 50, minInterval: '30s' }, required: { metrics: ['request-success-rate'], alerts: true, approval: true }, rules: { 'no-alerts': 'audit', 'known-bad-revision': 'audit' },
  freeze: [{ name: 'night', start: '0 20 * * *', duration: '1h', severity: 'warn' }], concurrency: { cluster: 2 },
  exemptions: [{ subject: { kind: 'Namespace', name: 'shop' }, rules: ['policy-limits'], reason: 'new', expires: '2099-01-01T00:00:00Z' }],
}
const POLICY = { apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name: 'base' }, spec: ABOUT_POLICY } as unknown as ClusterCanaryPolicy
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration'
const COMMANDED = canary({}, {}, { 'canarygate.dev/promote': 'why', 'canarygate.dev/promote-by': 'carol', 'canarygate.dev/promote-at': 'then', [LAST_APPLIED]: '{"metadata":{"annotations":{"canarygate.dev/promote":"why"}}}' })
/** What the agent has left in a status: who commanded what, and how many requests there were. */
const KNOWN = {
  rolledBackRevision: '1cccccccccc', traffic: { at: '2026-11-21T12:00:00.000Z', requestsPerSecond: 0.5, failureRate: 0.002, clumping: 1 },
  audit: [{ at: '2026-11-21T12:00:00.000Z', by: 'alice@example.com', command: 'promote', reason: 'why' }],
}

type Seed = { readonly path: HookPath; readonly request: AdmissionRequest }
const SEEDS: readonly Seed[] = [
  ...[
    request({ oldObject: workload(), object: workload({ image: 'cart:2.4' }) }),
    request({ oldObject: workload({ replicas: 0, annotations: OWNED }), object: workload({ image: 'cart:2.4', replicas: 5, annotations: OWNED }) }),
    request({ oldObject: workload({ paused: true, annotations: { 'canarygate.dev/stable-revision': '1bbbbbbbbbb', 'canarygate.dev/gate': 'pending' } }), object: workload() }),
    request({ operation: 'CREATE', object: workload({ replicas: 0, annotations: OWNED }) }),
    request({ kind: 'DaemonSet', resource: 'daemonsets', oldObject: workload({ kind: 'DaemonSet' }), object: workload({ kind: 'DaemonSet', image: 'cart:2.4' }) }),
    request({ group: '', resource: 'services', kind: 'Service', oldObject: service({ app: 'cart', 'canarygate.dev/role': 'primary' }), object: service({ app: 'cart' }) }),
    request({ ...CANARIES, oldObject: canary({ gate: KNOWN }), object: COMMANDED }),
    request({ ...CANARIES, operation: 'CREATE', object: canary({}, { analysis: FULL_ANALYSIS }) }),
  ].map((one): Seed => ({ path: '/mutate', request: one })),
  ...[
    request({ subResource: 'status', oldObject: workload({ annotations: { 'canarygate.dev/gate': 'failed: errors' } }), object: workload() }),
    request({ subResource: 'status', oldObject: workload({ annotations: OWNED }), object: workload() }),
  ].map((one): Seed => ({ path: '/status', request: one })),
  ...[
    request({ name: 'cart-primary', oldObject: workload(PRIMARY), object: workload({ ...PRIMARY, image: 'cart:2.4', replicas: 4 }) }),
    request({ name: 'cart-primary', operation: 'DELETE', oldObject: workload(PRIMARY) }),
    request({ group: '', resource: 'services', kind: 'Service', oldObject: generated({ app: 'cart' }), object: generated({ app: 'other' }) }),
    request({ group: 'autoscaling', resource: 'horizontalpodautoscalers', kind: 'HorizontalPodAutoscaler', operation: 'DELETE', oldObject: generated({}) }),
    request({ group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions', kind: 'CustomResourceDefinition', operation: 'DELETE', name: 'clustercanarypolicies.canarygate.dev' }),
    request({ ...CANARIES, oldObject: canary({ gate: KNOWN }), object: canary({}, { analysis: FULL_ANALYSIS }) }),
    request({ group: '', resource: 'namespaces', kind: 'Namespace', name: 'shop', oldObject: space({ 'canarygate.dev/gate': 'enabled' }), object: space({}) }),
    request({ subResource: 'scale', kind: 'Scale', object: scale({}), oldObject: scale({ replicas: 3 }) }),
    request({ ...CANARIES, operation: 'CREATE', object: canary({}, { provider: 'istio', analysis: FULL_ANALYSIS }) }),
    request({ ...CANARIES, operation: 'DELETE', oldObject: canary({ phase: 'Progressing' }) }),
    request({ ...POLICIES, operation: 'CREATE', object: POLICY }),
    request({ group: 'flagger.app', resource: 'metrictemplates', kind: 'MetricTemplate', operation: 'CREATE', object: { apiVersion: 'flagger.app/v1beta1', kind: 'MetricTemplate', metadata: { name: 'mine', namespace: 'shop' }, spec: { provider: { type: 'prometheus', address: 'http://prometheus:9090' }, query: 'sum(rate(x{job="{{ target }}"}[{{ interval }}]))' } } }),
  ].map((one): Seed => ({ path: '/validate', request: one })),
]

const RUBBISH: readonly unknown[] = [
  null, 0, -1, 1.5, 1e308, '', '0', 'x'.repeat(300), '\u0000\ud800', true, false, [], {}, [null], [[]], { '': '' }, 'pending', 'failed', 'Failed: x',
  { annotations: null }, { containers: null }, [{ image: 7 }], { metadata: { annotations: [] } }, Number.MAX_SAFE_INTEGER, 1e-9, 1e9, [1, 0.5], '1h', '10sx', { name: 1 },
]
const KEYS = ['', '__proto__', 'constructor', 'a/b~c', 'canarygate.dev/replicas', 'annotations', 'metadata', 'spec', 'template', 'deletionTimestamp', 'canarygate.dev/retry', 'stepWeight', 'iterations', 'match', 'requestsPerSecond', 'clumping', 'interval']

type Node = { readonly holder: Record<string, unknown> | unknown[]; readonly key: string | number }
function nodesOf(value: unknown, into: Node[] = []): Node[] {
  if (Array.isArray(value)) value.forEach((child, key) => { into.push({ holder: value, key }); nodesOf(child, into) })
  else if (typeof value === 'object' && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      into.push({ holder: value as Record<string, unknown>, key })
      nodesOf(child, into)
    }
  }
  return into
}

function mangled(body: string, random: () => number): string {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
  const review: unknown = JSON.parse(body)
  const times = 1 + Math.floor(random() * 4)
  for (let index = 0; index < times; index += 1) {
    const nodes = nodesOf(review)
    if (nodes.length === 0) break
    const { holder, key } = pick(nodes)
    const put = (at: string | number, value: unknown): void => { Object.defineProperty(holder, at, { value, enumerable: true, configurable: true, writable: true }) }
    const action = random()
    if (action < 0.55) put(key, structuredClone(pick(RUBBISH)))
    else if (action < 0.75) Reflect.deleteProperty(holder, key)
    else if (action < 0.9 && !Array.isArray(holder)) put(pick(KEYS), structuredClone(pick(RUBBISH)))
    else if (Array.isArray(holder)) holder.push(structuredClone(holder[Number(key)]))
  }
  const text = JSON.stringify(review)
  // A few are not even JSON: cut, or with bytes knocked over.
  if (random() < 0.03) return text.slice(0, Math.floor(random() * text.length))
  if (random() < 0.03) { const at = Math.floor(random() * text.length); return text.slice(0, at) + pick(['"', '{', ']', '\\', '\ufeff']) + text.slice(at + 1) }
  return text
}

/** Why this is no answer to what was sent, or undefined. Throws when its patch does not apply. */
function faultOf({ code, body }: Answer, sent: string): string | undefined {
  const review = JSON.parse(body)
  if (review.kind !== 'AdmissionReview' || review.apiVersion !== 'admission.k8s.io/v1') return 'not a review'
  const { response } = review
  if (typeof response?.allowed !== 'boolean' || typeof response.uid !== 'string') return 'no verdict'
  if (code !== 200 && code !== 400) return `code ${code}`
  if (code === 200 && response.uid !== JSON.parse(sent).request.uid) return 'the answer to another request'
  if ((response.patch === undefined) !== (response.patchType === undefined)) return 'patch without its type'
  if (!response.allowed && typeof response.status?.message !== 'string') return 'a denial without a message'
  for (const warning of response.warnings ?? []) if (warning.length > 256 || /\p{Cc}/u.test(warning)) return `a warning that does not fit: ${warning}`
  return undefined
}

/** The review that the API server sends after a patch, when another webhook has changed something; undefined without a patch. */
function again({ body }: Answer, sent: string): string | undefined {
  const { response } = JSON.parse(body)
  if (response.patch === undefined) return undefined
  const review = JSON.parse(sent)
  return JSON.stringify({ ...review, request: { ...review.request, object: applied(review.request.object, patchOf(response)) } })
}

type Answer = { readonly code: number; readonly body: string }
type Ask = (path: HookPath, payload: string) => Promise<Answer>

const inProcess = ({ app }: AdmissionServer): Ask => async (url, payload) => {
  const { statusCode, body } = await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })
  return { code: statusCode, body }
}

const overTls = (port: number, agent: Agent): Ask => (path, payload) => new Promise((resolve, reject) => {
  const call = httpsRequest({ host: '127.0.0.1', port, path, method: 'POST', agent, timeout: 10_000, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) } }, (response) => {
    const chunks: Buffer[] = []
    response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('error', reject)
    response.on('end', () => { resolve({ code: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }) })
  })
  call.on('error', reject).on('timeout', () => call.destroy(new Error('no answer in time')))
  call.end(payload)
})

/** What went wrong inside, beside what was answered. */
type Fuzzed = { readonly server: AdmissionServer; readonly errors: readonly string[] }

function fuzzed(): Fuzzed {
  const errors: string[] = []
  const quiet = (): undefined => undefined
  const governing = createGoverning({ clusterPolicies: () => [POLICY], policiesOf: () => [], labelsOf: () => ({ 'canarygate.dev/gate': 'enabled' }) })
  const canaries = [canary({ phase: 'Progressing' })]
  const server = createAdmissionServer({
    state: stateOf({
      canaryFor: () => canary({ phase: 'Failed', lastPromotedSpec: '1bbbbbbbbbb', gate: KNOWN }, { analysis: FULL_ANALYSIS }),
      objects: { get: ({ kind }) => (kind === 'Canary' ? canary() : workload({ annotations: OWNED })), list: (_, kind) => (kind === 'Canary' ? canaries : []) },
      ruleContext: () => ({ defaultProvider: 'kubernetes', providers: FLAGGER_ROUTERS, cluster: { objects: { get: () => undefined, list: () => [] }, target: workload(), canaries, knows: () => true } }),
    }),
    rules: governedRules(governing, () => NOW), agentUsers: [AGENT], ownNamespace: 'canarygate', tls: selfSigned(), now: () => NOW, random: () => 0.5,
    log: { debug: quiet, info: quiet, warn: quiet, error: (...line: unknown[]) => { errors.push(String((line[0] as { readonly err?: unknown }).err)) } },
  })
  return { server, errors }
}

/** Sends `runs` mangled reviews one after another and each patched one again; the number of patches, or undefined after a fault. */
async function fuzz(t: Test, ask: Ask, runs: number, seed: number): Promise<number | undefined> {
  const random = createRandom(seed)
  const seeds = SEEDS.map(({ path, request: one }) => ({ path, body: reviewBody(one) }))
  let patches = 0
  for (let run = 0; run < runs; run += 1) {
    const { path: usual, body } = seeds[run % seeds.length] ?? { path: '/mutate' as const, body: '' }
    const path = random() < 0.95 ? usual : HOOK_PATHS[run % HOOK_PATHS.length] ?? usual
    const sent = mangled(body, random)
    try {
      const answer = await ask(path, sent)
      const second = faultOf(answer, sent) ?? { sent: again(answer, sent) }
      if (typeof second === 'string') throw new Error(second)
      if (second.sent === undefined) continue
      patches += 1
      const more = JSON.parse((await ask(path, second.sent)).body).response
      if (more.patch !== undefined) throw new Error(`patched again: ${JSON.stringify(patchOf(more))}`)
      if (more.allowed !== true) throw new Error(`refused after its own patch: ${more.status?.message}`)
    } catch (err) {
      t.fail(`run ${run} of seed ${seed} at ${path}: ${String(err)}`, { sent })
      return undefined
    }
  }
  return patches
}

test(`${RUNS} mangled reviews (seed ${SEED}): always a review, every patch applies, none is followed by another`, async (t) => {
  const { server, errors } = fuzzed()
  const patches = await fuzz(t, inProcess(server), RUNS, SEED)
  if (patches === undefined) return
  t.ok(patches > RUNS / 20, `${patches} answers had a patch`)
  t.same([...new Set(errors)], [], 'no hook threw')
})

test(`${RUNS_OVER_TLS} of them over TLS`, async (t) => {
  const { server, errors } = fuzzed()
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false })
  await server.app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(async () => { agent.destroy(); await server.app.close() })
  const patches = await fuzz(t, overTls((server.app.server.address() as AddressInfo).port, agent), RUNS_OVER_TLS, SEED + 1)
  t.ok(patches, `${patches} answers had a patch`)
  t.same([...new Set(errors)], [], 'no hook threw')
})
