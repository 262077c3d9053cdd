import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { createAdmissionServer } from '#admission/server.ts'
import type { Tracing } from '#admission/tracing.ts'
import { createTracing } from '#tracing.ts'
import { selfSigned } from './fixtures/certificate.ts'
import { AGENT, NO_RULES, NOW, request, reviewBody, stateOf, workload } from './fixtures/reviews.ts'

type Span = {
  readonly name: string; readonly kind: number; readonly traceId: string; readonly parentSpanId?: string; readonly startTimeUnixNano: string; readonly endTimeUnixNano: string
  readonly attributes: readonly { readonly key: string; readonly value: object }[]; readonly status: { readonly code: number; readonly message?: string }
}
type Export = { readonly resourceSpans: readonly { readonly resource: { readonly attributes: Span['attributes'] }; readonly scopeSpans: readonly { readonly spans: readonly Span[] }[] }[] }

/** A collector on loopback, and a server that sends it spans; `stop` sends what is left. */
async function traced(t: Test, { code = 200, env = {}, state = stateOf() } = {}) {
  const exports: Export[] = []
  const collector = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
      exports.push(JSON.parse(Buffer.concat(chunks).toString()))
      outgoing.writeHead(code, { 'content-type': 'application/json' }).end('{}')
    })
  })
  await new Promise<void>((resolve) => { collector.listen(0, '127.0.0.1', resolve) })
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
  const warnings: string[] = []
  const log = { debug: () => undefined, info: () => undefined, error: () => undefined, warn: (_: unknown, message?: string) => { warnings.push(message ?? '') } }
  const tracing = createTracing(env, log)
  let now = NOW
  const server = createAdmissionServer({
    state, rules: NO_RULES, agentUsers: [AGENT], ownNamespace: 'canarygate', log, tls: selfSigned(), random: () => 0.5, tracing, now: () => { now += 0.25; return now },
  })
  t.teardown(async () => {
    delete process.env['OTEL_EXPORTER_OTLP_ENDPOINT']
    await server.app.close()
    collector.close()
  })
  const post = (headers: Record<string, string> = {}) =>
    server.app.inject({ method: 'POST', url: '/mutate', payload: reviewBody(UPDATE), headers: { 'content-type': 'application/json', ...headers } })
  const spans = () => exports.flatMap(({ resourceSpans }) => resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)))
  return { post, tracing, exports, spans, warnings }
}

const UPDATE = request({ oldObject: workload(), object: workload({ image: 'cart:2.4' }) })
const attribute = ({ attributes }: Pick<Span, 'attributes'>, name: string) => attributes.find(({ key }) => key === name)?.value
const TRACE = '0af7651916cd43dd8448eb211c80319c'

test('a review is a span of the API server\'s trace', async (t) => {
  const { post, tracing, spans, exports } = await traced(t)
  t.equal((await post({ traceparent: `00-${TRACE}-b7ad6b7169203331-01` })).statusCode, 200)
  await tracing.stop()
  const [span] = spans()
  t.match(span, { name: 'admission workloads', kind: 2, traceId: TRACE, parentSpanId: 'b7ad6b7169203331', status: { code: 0 } })
  t.ok(span && BigInt(span.endTimeUnixNano) > BigInt(span.startTimeUnixNano) && span.startTimeUnixNano.startsWith(String(Math.floor(NOW / 1_000))), 'in Unix time')
  t.match(span && attribute(span, 'k8s.namespace.name'), { stringValue: 'shop' })
  t.match(span && attribute(span, 'canarygate.outcome'), { stringValue: 'patched' })
  t.notOk(JSON.stringify(exports).includes('alice@example.com'), 'it names no user')
  t.match(exports[0]?.resourceSpans[0] && attribute(exports[0].resourceSpans[0].resource, 'service.name'), { stringValue: 'canarygate-webhook' })
})

test('a trace that the API server does not record is not recorded here', async (t) => {
  const { post, tracing, spans } = await traced(t)
  await post({ traceparent: `00-${TRACE}-b7ad6b7169203331-00` })
  await tracing.stop()
  t.same(spans(), [])
})

test('of reviews that come without a trace, as many are recorded as is asked for', async (t) => {
  for (const [share, most] of [['0', 0], ['1', 3]] as const) {
    const { post, tracing, spans } = await traced(t, { env: { OTEL_TRACES_SAMPLER_ARG: share } })
    for (let index = 0; index < 3; index += 1) await post()
    await tracing.stop()
    t.equal(spans().length, most, share)
  }
  t.throws(() => createTracing({ OTEL_TRACES_SAMPLER_ARG: 'many' }, { warn: () => undefined }), /OTEL_TRACES_SAMPLER_ARG is "many".*from 0 to 1/)
})

test('a hook that could not do its work is a span with an error', async (t) => {
  const { post, tracing, spans } = await traced(t, { state: { ...stateOf(), canaryFor: () => { throw new Error('cache is broken') } } })
  await post()
  await tracing.stop()
  t.match(spans(), [{ status: { code: 2, message: 'errored' } }])
})

test('a collector that fails costs spans and a warning, and no review', async (t) => {
  const { post, tracing, warnings } = await traced(t, { code: 400 })
  t.equal((await post()).statusCode, 200)
  await tracing.stop()
  t.match(warnings, [/^tracing: /])
})

test('without tracing nothing is asked of it', async (t) => {
  const seen: unknown[] = []
  const tracing: Tracing = { review: (span) => { seen.push(span) }, stop: async () => undefined }
  const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  const options = { state: stateOf(), rules: NO_RULES, agentUsers: [AGENT], ownNamespace: 'canarygate', log, tls: selfSigned(), now: () => NOW, random: () => 0.5 }
  for (const server of [createAdmissionServer(options), createAdmissionServer({ ...options, tracing })]) {
    await server.app.inject({ method: 'POST', url: '/mutate', payload: reviewBody(UPDATE), headers: { 'content-type': 'application/json' } })
  }
  t.match(seen, [{ hook: 'workloads', name: 'cart', outcome: 'patched', rules: [] }])
})
