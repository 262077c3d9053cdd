import Fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { governedRules } from '#admission/governed.ts'
import { createAdmissionServer } from '#admission/server.ts'
import { createGoverning } from '#policy/governing.ts'
import { selfSigned } from '../../test/admission/fixtures/certificate.ts'
import { AGENT, canary, stateOf } from '../../test/admission/fixtures/reviews.ts'
import { clusterOf, contextOf, objectOf, TEAM_ALERTS } from '../../test/policy/canaries.ts'

/**
 * One server in its own process: `serve.ts gate` ours, `serve.ts empty` the least that could answer: the same framework, TLS and
 * parse, then "allowed". Prints its port, and on each line of input its use of CPU and memory.
 */
const which = process.argv[2]
const tls = selfSigned()
const quiet = (): undefined => undefined

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

/** As a cache has it: one object until it changes. A run is over, as it is most of the time. */
const target = canary({ phase: 'Succeeded', lastPromotedSpec: '1aaaaaaaaaa' })
const service = objectOf('v1', 'Service', 'cart', { spec: { selector: { app: 'cart' }, ports: [{ port: 80, targetPort: 8080 }] } })
const rules = contextOf({ cluster: clusterOf([TEAM_ALERTS, service]) })
const labels = { 'canarygate.dev/gate': 'enabled' }
const app = which === 'empty' ? emptyServer() : createAdmissionServer({
  state: stateOf({ canaryFor: () => target, ruleContext: () => rules }),
  rules: governedRules(createGoverning({ clusterPolicies: () => [], policiesOf: () => [], labelsOf: () => labels }), Date.now), agentUsers: [AGENT], ownNamespace: 'canarygate', tls, now: () => performance.timeOrigin + performance.now(), random: Math.random,
  log: { debug: quiet, info: quiet, warn: quiet, error: console.error },
}).app

await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`${JSON.stringify({ port: (app.server.address() as AddressInfo).port })}\n`)
process.stdin.on('data', () => {
  const { user, system } = process.cpuUsage()
  process.stdout.write(`${JSON.stringify({ cpuUs: user + system, rss: process.memoryUsage.rss() })}\n`)
})
process.stdin.on('end', () => { process.exit(0) })
