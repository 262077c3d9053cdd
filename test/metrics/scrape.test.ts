import type { Http } from '#api/http.ts'
import { test } from 'tap'
import { HttpError } from '#metrics/provider.ts'
import { scrapePods, scrapeTargetOf, type ScrapePod } from '#metrics/scrape.ts'

const SIGNAL = new AbortController().signal
const PORTS = [{ containerPort: 8080, name: 'http' }, { containerPort: 9797, name: 'metrics' }, { containerPort: 53, protocol: 'UDP' }]

const targets = [
  { name: 'annotations', annotations: { 'prometheus.io/port': '9000', 'prometheus.io/path': 'stats' }, gives: { port: 9000, path: '/stats', scheme: 'http' } },
  { name: 'a port by its name', annotations: {}, gives: { port: 9797, path: '/metrics', scheme: 'http' } },
  { name: 'the first port', annotations: {}, ports: [{ containerPort: 53, protocol: 'UDP' }, { containerPort: 8080 }], gives: { port: 8080, path: '/metrics' } },
  { name: 'settings over annotations', annotations: { 'prometheus.io/port': '9000', 'prometheus.io/scheme': 'https' }, settings: { port: 1234, path: '/p' }, gives: { port: 1234, path: '/p', scheme: 'https' } },
  { name: 'a pod that says no', annotations: { 'prometheus.io/scrape': 'false' }, gives: undefined },
  { name: 'a pod that says no, named by its owner', annotations: { 'prometheus.io/scrape': 'false' }, settings: { port: 1 }, gives: { port: 1 } },
  { name: 'a pod without ports', annotations: {}, ports: [], gives: undefined },
  { name: 'a port that is none', annotations: { 'prometheus.io/port': 'http' }, gives: { port: 9797 } },
  { name: 'a port out of range', annotations: { 'prometheus.io/port': '99999' }, gives: undefined },
]
for (const { name, annotations, ports, settings, gives } of targets) {
  test(`where a page is: ${name}`, async (t) => {
    const target = scrapeTargetOf(annotations, ports ?? PORTS, settings)
    if (gives === undefined) t.equal(target, undefined)
    else t.match(target, gives)
  })
}

const pod = (name: string, more: Partial<ScrapePod> = {}): ScrapePod => ({ name, ip: '10.0.0.1', port: 8080, path: '/metrics', scheme: 'http', startedAtMs: 0, ready: true, ...more })

test('all pods of both arms are asked at once, and none spoils the round', async (t) => {
  const asked: string[] = []
  let open = 0
  const most: number[] = []
  const http: Http = async ({ url, deadlineMs }) => {
    asked.push(url)
    t.equal(deadlineMs, 900)
    open += 1
    most.push(open)
    await new Promise((resolve) => { setImmediate(resolve) })
    open -= 1
    if (url.includes('10.0.0.2')) return { status: 404, body: '' }
    if (url.includes('10.0.0.3')) return { status: 200, body: 'http_requests_total{code="200"} x\n' }
    if (url.includes('10.0.0.4')) throw new HttpError('timeout', 'no answer')
    return { status: 200, body: 'http_requests_total{code="200"} 7\n' }
  }
  const round = await scrapePods(
    { canary: [pod('a', { ip: 'fd00::1', path: '/m?x=1' }), pod('b', { ip: '10.0.0.2' })], primary: [pod('c', { ip: '10.0.0.3' }), pod('d', { ip: '10.0.0.4' })] },
    http,
    { deadlineMs: 900, signal: SIGNAL, now: () => 5_000 },
  )
  t.same(asked, ['http://[fd00::1]:8080/m?x=1', 'http://10.0.0.2:8080/metrics', 'http://10.0.0.3:8080/metrics', 'http://10.0.0.4:8080/metrics'])
  t.equal(Math.max(...most), 4)
  t.match(round.canary, [
    { name: 'a', answer: { kind: 'page', atMs: 5_000, page: { errors: { requests: 7, failures: 0 } } } },
    { name: 'b', answer: { kind: 'failed', reason: 'status 404' } },
  ])
  t.match(round.primary, [{ answer: { kind: 'failed', reason: /no sample/ } }, { answer: { kind: 'failed', reason: 'no answer' } }])
})
