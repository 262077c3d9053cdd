import { test } from 'tap'
import { createAdmissionServer, type AdmissionServer } from '#admission/server.ts'
import { HOOK_PATHS } from '#admission/hooks.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { selfSigned } from './fixtures/certificate.ts'
import { AGENT, applied, canary, NO_RULES, NOW, patchOf, request, reviewBody, stateOf, workload } from './fixtures/reviews.ts'

/** Reviews with parts replaced, dropped, doubled and cut: whatever arrives, the answer is a review whose patch applies. */

const RUNS = Number(process.env['FUZZ_RUNS'] ?? 5_000)
const SEED = Number(process.env['FUZZ_SEED'] ?? 20_261_121)

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
const SEEDS: readonly AdmissionRequest[] = [
  request({ oldObject: workload(), object: workload({ image: 'cart:2.4' }) }),
  request({ oldObject: workload({ replicas: 0, annotations: OWNED }), object: workload({ image: 'cart:2.4', replicas: 5, annotations: OWNED }) }),
  request({ oldObject: workload({ paused: true, annotations: { 'canarygate.dev/stable-revision': '1bbbbbbbbbb', 'canarygate.dev/gate': 'pending' } }), object: workload() }),
  request({ operation: 'CREATE', object: workload({ replicas: 0, annotations: OWNED }) }),
  request({ kind: 'DaemonSet', resource: 'daemonsets', oldObject: workload({ kind: 'DaemonSet' }), object: workload({ kind: 'DaemonSet', image: 'cart:2.4' }) }),
  request({ subResource: 'status', oldObject: workload({ annotations: { 'canarygate.dev/gate': 'failed: errors' } }), object: workload() }),
  request({ subResource: 'status', oldObject: workload({ annotations: OWNED }), object: workload() }),
  request({ name: 'cart-primary', oldObject: workload(PRIMARY), object: workload({ ...PRIMARY, image: 'cart:2.4', replicas: 4 }) }),
  request({ name: 'cart-primary', operation: 'DELETE', oldObject: workload(PRIMARY) }),
  request({ subResource: 'scale', kind: 'Scale', object: { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'cart' }, spec: {} }, oldObject: { apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'cart' } } }),
  request({ group: 'flagger.app', resource: 'canaries', kind: 'Canary', operation: 'CREATE', object: canary() }),
  request({ group: 'flagger.app', resource: 'canaries', kind: 'Canary', operation: 'DELETE', oldObject: canary({ phase: 'Progressing' }) }),
]

const RUBBISH: readonly unknown[] = [
  null, 0, -1, 1.5, 1e308, '', '0', 'x'.repeat(300), '\u0000\ud800', true, false, [], {}, [null], [[]], { '': '' }, 'pending', 'failed', 'Failed: x',
  { annotations: null }, { containers: null }, [{ image: 7 }], { metadata: { annotations: [] } }, Number.MAX_SAFE_INTEGER,
]
const KEYS = ['', '__proto__', 'constructor', 'a/b~c', 'canarygate.dev/replicas', 'annotations', 'metadata', 'spec', 'template', 'deletionTimestamp']

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

function faultOf(code: number, answer: string, sent: string): string | undefined {
  const review = JSON.parse(answer)
  if (review.kind !== 'AdmissionReview' || review.apiVersion !== 'admission.k8s.io/v1') return 'not a review'
  const { response } = review
  if (typeof response?.allowed !== 'boolean' || typeof response.uid !== 'string') return 'no verdict'
  if (code !== 200 && code !== 400) return `code ${code}`
  if ((response.patch === undefined) !== (response.patchType === undefined)) return 'patch without its type'
  if (!response.allowed && typeof response.status?.message !== 'string') return 'a denial without a message'
  if (response.patch !== undefined) applied(JSON.parse(sent).request.object, patchOf(response))
  for (const warning of response.warnings ?? []) if (warning.length > 256 || /\p{Cc}/u.test(warning)) return `a warning that does not fit: ${warning}`
  return undefined
}

async function answerTo(server: AdmissionServer, url: string, payload: string) {
  const reply = await server.app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })
  return { code: reply.statusCode, body: reply.body }
}

test(`${RUNS} mangled reviews (seed ${SEED}): always a review, and every patch applies`, async (t) => {
  const errors: unknown[] = []
  const quiet = (): undefined => undefined
  const server = createAdmissionServer({
    state: stateOf({ objects: { get: () => workload({ annotations: OWNED }), list: () => [] } }), rules: NO_RULES, agentUsers: [AGENT], ownNamespace: 'canarygate', tls: selfSigned(), now: () => NOW, random: () => 0.5,
    log: { debug: quiet, info: quiet, warn: quiet, error: (...line: unknown[]) => { errors.push(String((line[0] as { readonly err?: unknown }).err)) } },
  })
  const random = createRandom(SEED)
  const bodies = SEEDS.map((seed) => reviewBody(seed))
  let patches = 0
  for (let run = 0; run < RUNS; run += 1) {
    const at = run % bodies.length
    const body = mangled(bodies[at] ?? '', random)
    const subResource = SEEDS[at]?.subResource
    const path = subResource === 'status' ? '/status' : at < 5 ? '/mutate' : random() < 0.9 ? '/validate' : HOOK_PATHS[run % 3] ?? '/mutate'
    try {
      const { code, body: answer } = await answerTo(server, path, body)
      const fault = faultOf(code, answer, body)
      if (fault !== undefined) throw new Error(fault)
      if (answer.includes('"patch"')) patches += 1
    } catch (err) {
      t.fail(`run ${run} at ${path}: ${String(err)}`, { body })
      return
    }
  }
  t.ok(patches > RUNS / 20, `${patches} answers had a patch`)
  t.same(errors, [], 'no hook threw')
})
