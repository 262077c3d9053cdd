import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { Agent, request as httpsRequest } from 'node:https'
import { buildSync } from 'esbuild'
import { request, reviewBody, workload } from '../../test/admission/fixtures/reviews.ts'
import { canaryOf } from '../../test/policy/canaries.ts'

/** A server in its own process, and reviews to ask it. */

/** As in the webhook's Deployment. */
const NODE_OPTION = '--max-semi-space-size=1'

const OWNED = { 'canarygate.dev/replicas': '3', 'canarygate.dev/gate': 'passed', 'canarygate.dev/revision': '1aaaaaaaaaa', 'canarygate.dev/requested-by': 'bob' }
/** 40 variables and a last-applied copy make a review of the size that clusters send: 12 KB and more. */
const env = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`SETTING_${index}`, `value of setting number ${index}`]))
const target = (image: string) => workload({ image, env, replicas: 0, annotations: OWNED })
/** As it comes from `kubectl apply`, with the record of who owns its fields. Nothing can be said against it: all rules are asked. */
const canary = canaryOf()
const ownedFields = (value: unknown): object =>
  (typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).map(([key, child]) => [`f:${key}`, ownedFields(child)])) : {})
const applied = canaryOf({ metadata: {
  uid: '0d6b7c0e-5a0c-4d52-9a2f-1a3a3d2f6a11', generation: 1, creationTimestamp: '2026-11-02T08:00:00Z',
  annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(canary) },
  managedFields: [{ manager: 'kubectl-client-side-apply', operation: 'Update', apiVersion: canary.apiVersion, time: '2026-11-02T08:00:00Z', fieldsType: 'FieldsV1', fieldsV1: { ...ownedFields({ spec: canary.spec }) } }],
} })
export const CASES = [
  { name: 'gated update', path: '/mutate', body: reviewBody(request({ oldObject: target('cart:2.3'), object: target('cart:2.4') })) },
  { name: 'no-op update', path: '/mutate', body: reviewBody(request({ oldObject: target('cart:2.3'), object: target('cart:2.3') })) },
  { name: 'Canary', path: '/validate', body: reviewBody(request({ group: 'flagger.app', resource: 'canaries', kind: 'Canary', operation: 'CREATE', object: applied })) },
] as const

type Usage = { readonly cpuUs: number; readonly rss: number }
export type Started = { readonly name: string; readonly port: number; readonly child: ChildProcess; readonly agent: Agent; usage(): Promise<Usage> }

/** One file, as in the image: types that are stripped while it runs would cost some 40 MB. */
function bundle(): string {
  const outfile = new URL('../../dist/bench/serve.mjs', import.meta.url).pathname
  buildSync({
    entryPoints: [new URL('serve.ts', import.meta.url).pathname], outfile, bundle: true, platform: 'node', target: 'node24', format: 'esm', minifySyntax: true, logLevel: 'warning',
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  })
  return outfile
}

/** `connections`: at most so many at once. */
export async function start(name: 'gate' | 'empty', connections = 16): Promise<Started> {
  const child = spawn(process.execPath, [NODE_OPTION, bundle(), name], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value ?? '{}')
  const { port } = await next()
  return {
    name, port, child, agent: new Agent({ keepAlive: true, maxSockets: connections, rejectUnauthorized: false }),
    usage: () => { child.stdin.write('?\n'); return next() },
  }
}

/** Milliseconds until the answer is there. */
export function ask({ port, agent }: Started, path: string, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const call = httpsRequest({ host: '127.0.0.1', port, path: `${path}?timeout=2s`, method: 'POST', agent, headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) } }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`answered ${response.statusCode}`))
      response.resume()
      response.on('end', () => { resolve(performance.now() - started) })
    })
    call.on('error', reject)
    call.end(body)
  })
}
