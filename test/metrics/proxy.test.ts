import { test } from 'tap'
import type { Http } from '#api/http.ts'
import { absorbRound, EMPTY_EMBEDDED, measureEmbedded } from '#metrics/embedded.ts'
import { traefikCounters } from '#metrics/proxy.ts'
import { scrapeProxy, type ScrapePod } from '#metrics/scrape.ts'

/** A proxy's page, which is about everybody's services. */

const NAMES = { canary: traefikCounters('shop', 'cart', 'canary'), primary: traefikCounters('shop', 'cart', 'primary') }
const POD: ScrapePod = { name: 'traefik-1', ip: '10.0.0.9', port: 8080, path: '/metrics', scheme: 'http', startedAtMs: 0, ready: true }

type Counts = readonly [good: number, bad: number]
/** `canary`, `primary`: of shop/cart, requests so far. */
const page = (canary: Counts, primary: Counts): string => [
  ...Object.entries({ 'shop-cart-canary-80@kubernetescrd': canary, 'shop-cart-primary-http@kubernetescrd': primary, 'shop-cart-canary-v2-canary-80@kubernetescrd': [5_000, 5_000], 'other-cart-canary-80@kubernetescrd': [7_000, 7_000], 'shop-cart@kubernetescrd': [9_000, 9_000] })
    .flatMap(([service, [good, bad]]) => [[200, good], [500, bad]].flatMap(([code, count]) => [
      `traefik_service_requests_total{code="${code}",method="GET",protocol="http",service="${service}"} ${count}`,
      `traefik_service_request_duration_seconds_bucket{code="${code}",method="GET",protocol="http",service="${service}",le="0.1"} ${count}`,
      `traefik_service_request_duration_seconds_bucket{code="${code}",method="GET",protocol="http",service="${service}",le="+Inf"} ${count}`,
    ])),
  'traefik_entrypoint_requests_total{code="200",entrypoint="web",method="GET",protocol="http"} 99999', '',
].join('\n')

async function rounds(...pages: readonly (string | number)[]) {
  let at = 0
  let state = EMPTY_EMBEDDED
  for (const answer of pages) {
    at += 5_000
    const http: Http = async () => (typeof answer === 'number' ? { status: answer, body: '' } : { status: 200, body: answer })
    const round = await scrapeProxy([POD], NAMES, { canary: -60_000, primary: -60_000 }, http, { deadlineMs: 1_000, signal: new AbortController().signal, now: () => at })
    state = absorbRound(state, round, { weight: 50, pollSeconds: 5, nowMs: at }).state
  }
  return { state, measure: (metric: 'request-success-rate' | 'request-duration', arm: 'canary' | 'primary') => measureEmbedded(state, metric, arm, 60, at) }
}

test('each arm is read from its own Service, whatever other names look like it', async (t) => {
  const { measure } = await rounds(page([0, 0], [100, 0]), page([75, 25], [300, 0]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 75 })
  t.match(measure('request-success-rate', 'primary'), { kind: 'value', value: 100 })
  t.match(measure('request-duration', 'primary'), { kind: 'value' })
})

test('a proxy that starts again has counted from nothing', async (t) => {
  const { measure } = await rounds(page([100, 50], [100, 0]), page([8, 2], [10, 0]))
  t.match(measure('request-success-rate', 'canary'), { kind: 'value', value: 80 })
})

test('a proxy that does not answer says nothing about anybody', async (t) => {
  const { measure } = await rounds(page([0, 0], [100, 0]), 404)
  t.match(measure('request-success-rate', 'canary'), { kind: 'unavailable', reason: /2 of 2 ready pods did not answer: traefik-1 \(canary\)/ })
})

test('a canary whose Service no request has reached yet has no data', async (t) => {
  const empty = page([0, 0], [100, 0]).split('\n').filter((line) => !line.includes('"shop-cart-canary-80')).join('\n')
  const { measure } = await rounds(empty, empty)
  t.match(measure('request-success-rate', 'canary'), { kind: 'no-data' })
})
