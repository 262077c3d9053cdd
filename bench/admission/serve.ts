import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { parseReview } from '#admission/review.ts'
import { createAdmissionServer } from '#admission/server.ts'
import { selfSigned } from '../../test/admission/fixtures/certificate.ts'
import { AGENT, canary, NO_RULES, stateOf } from '../../test/admission/fixtures/reviews.ts'

/**
 * One server in its own process: `serve.ts gate` ours, `serve.ts empty` the least that could answer: the same framework, TLS and
 * parse, then "allowed". Prints its port, and on each line of input its use of CPU and memory.
 */
const which = process.argv[2]
const tls = selfSigned()
const quiet = (): undefined => undefined

async function rules() {
  try {
    // A variable, since the rules are another part that may not be there.
    const path: string = '#policy/evaluate.ts'
    const { evaluateCanary } = await import(path)
    return { ...NO_RULES, canary: evaluateCanary }
  } catch {
    return NO_RULES
  }
}

function emptyServer() {
  const app = Fastify({ https: { ...tls, minVersion: 'TLSv1.2' }, keepAliveTimeout: 120_000, bodyLimit: 16 * 1_024 * 1_024, logger: false })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => { done(null, body) })
  app.post('/*', (request, reply) => {
    const review = JSON.parse(String(request.body))
    reply.header('content-type', 'application/json')
    return reply.send(JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid: review.request.uid, allowed: true } }))
  })
  return app
}

const app = which === 'empty' ? emptyServer() : createAdmissionServer({
  // The Canary that is judged is the one that is there; a run is over, as it is most of the time.
  state: stateOf({ canaryFor: () => canary({ phase: 'Succeeded', lastPromotedSpec: '1aaaaaaaaaa' }) }),
  rules: await rules(), agentUsers: [AGENT], ownNamespace: 'canarygate', tls, now: () => performance.timeOrigin + performance.now(), random: Math.random,
  log: { debug: quiet, info: quiet, warn: quiet, error: console.error },
}).app

await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`${JSON.stringify({ port: (app.server.address() as AddressInfo).port, parses: parseReview.name })}\n`)
process.stdin.on('data', () => {
  const { user, system } = process.cpuUsage()
  process.stdout.write(`${JSON.stringify({ cpuUs: user + system, rss: process.memoryUsage.rss() })}\n`)
})
process.stdin.on('end', () => { process.exit(0) })
