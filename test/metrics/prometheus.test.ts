import type { Http, HttpRequest } from '#api/http.ts'
import { test } from 'tap'
import { collapseWhitespace, parsePrometheus, parseSample, prometheus } from '#metrics/prometheus.ts'
import { HttpError, type MetricAddress } from '#metrics/provider.ts'

const ADDRESS: MetricAddress = { url: 'http://prometheus:9090/prom/', at: 0, intervalSeconds: 60 }
const SIGNAL = new AbortController().signal
const success = (resultType: string, result: unknown) => JSON.stringify({ status: 'success', data: { resultType, result } })
const series = (value: unknown, name = 'x') => ({ metric: { name }, value: [1_700_000_000.1, value] })

const answers = [
  { name: 'one series', body: success('vector', [series('99.5')]), gives: { kind: 'value', value: 99.5 } },
  { name: 'of several series the last one', body: success('vector', [series('1'), series('2'), series('3')]), gives: { kind: 'value', value: 3 } },
  { name: 'infinity is a value', body: success('vector', [series('+Inf')]), gives: { kind: 'value', value: Infinity } },
  { name: 'an exponent', body: success('vector', [series('1.5e-07')]), gives: { kind: 'value', value: 1.5e-7 } },
  { name: 'no series is no data', body: success('vector', []), gives: { kind: 'no-data' } },
  { name: 'NaN is no data', body: success('vector', [series('NaN')]), gives: { kind: 'no-data' } },
  { name: 'a range is unavailable', body: success('matrix', [{ metric: {}, values: [[1, '1'], [2, '2']] }]), gives: { kind: 'unavailable', reason: 'query returned multiple values' } },
  { name: 'an empty range is unavailable', body: success('matrix', []), gives: { kind: 'unavailable', reason: 'query returned multiple values' } },
  { name: 'a vector with several values is unavailable', body: success('vector', [{ metric: {}, values: [[1, '1']] }]), gives: { kind: 'unavailable', reason: 'query returned multiple values' } },
  { name: 'a scalar is unavailable', body: success('scalar', [1, '1']), gives: { kind: 'unavailable', reason: /wrap it in vector/ } },
  { name: 'a string is unavailable', body: success('string', [1, 'a']), gives: { kind: 'unavailable' } },
  { name: 'a series without a value is unavailable', body: success('vector', [{ metric: {} }]), gives: { kind: 'unavailable' } },
  { name: 'a value that is no number is unavailable', body: success('vector', [series('12abc')]), gives: { kind: 'unavailable' } },
  { name: 'a value that is no string is unavailable', body: success('vector', [series(12)]), gives: { kind: 'unavailable' } },
  { name: 'an error in a 200', body: JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'parse error' }), gives: { kind: 'unavailable', reason: 'error response: parse error' } },
  { name: 'no status', body: JSON.stringify({ data: { resultType: 'vector', result: [series('1')] } }), gives: { kind: 'unavailable' } },
  { name: 'a login page', body: '<html>sign in</html>', gives: { kind: 'unavailable', reason: 'the answer is not one of a Prometheus query' } },
  { name: 'nothing', body: '', gives: { kind: 'unavailable' } },
  { name: 'null', body: 'null', gives: { kind: 'unavailable' } },
] as const
for (const { name, body, gives } of answers) test(`answer: ${name}`, async (t) => t.match(parsePrometheus(body), gives))

test('numbers as Prometheus writes them', async (t) => {
  t.same(['0', '-1.5', '1e+06', '+Inf', '-Inf', '', ' 1', '0x10', '1_000', 'toString'].map(parseSample), [0, -1.5, 1e6, Infinity, -Infinity, undefined, undefined, undefined, undefined, undefined])
})

const lines = [
  { name: 'over several lines', query: '\n sum(\n  rate(x[1m])\n)\n', one: 'sum( rate(x[1m]) )' },
  { name: 'with comments', query: '# of all\nsum(a) # the good\n  / sum(b)', one: 'sum(a) / sum(b)' },
  { name: 'with strings', query: `x{a="b  #c", d='\\'  #', e=\`f  \\\`}  # g`, one: `x{a="b  #c", d='\\'  #', e=\`f  \\\`}` },
]
for (const { name, query, one } of lines) test(`a query ${name} is sent as one line that says the same`, async (t) => t.equal(collapseWhitespace(query), one))

function recording(status: number, body: string): { http: Http; sent: HttpRequest[] } {
  const sent: HttpRequest[] = []
  return { sent, http: async (request) => { sent.push(request); return { status, body } } }
}

test('a query goes out on one line, under the path of the address', async (t) => {
  const { http, sent } = recording(200, success('vector', [series('1')]))
  t.match(await prometheus.query('sum(\n  rate(x[1m])\n)\n', ADDRESS, http, SIGNAL), { kind: 'value', value: 1 })
  t.match(sent, [{ url: 'http://prometheus:9090/prom/api/v1/query?query=sum%28+rate%28x%5B1m%5D%29+%29', deadlineMs: 5000, headers: {} }])
})

const credentials = [
  { name: 'a token', address: { secret: { token: 'abcdef\n', username: 'u', password: 'p' } }, headers: { authorization: 'Bearer abcdef' } },
  { name: 'user and password', address: { secret: { username: 'u', password: 'p' } }, headers: { authorization: 'Basic dTpw' } },
  { name: 'headers', address: { headers: { 'X-Scope-OrgID': ['a', 'b'] } }, headers: { 'x-scope-orgid': 'a, b' } },
  { name: 'a token wins over a header, once', address: { headers: { Authorization: ['Basic x'] }, secret: { token: 'abcdef' } }, headers: { authorization: 'Bearer abcdef' } },
] as const
for (const { name, address, headers } of credentials) {
  test(`credentials: ${name}`, async (t) => {
    const { http, sent } = recording(200, success('vector', [series('1')]))
    await prometheus.query('x', { ...ADDRESS, ...address }, http, SIGNAL)
    t.same(sent[0]?.headers, headers)
  })
}

test('a secret without credentials is unavailable, and nothing is sent', async (t) => {
  const { http, sent } = recording(200, '')
  t.match(await prometheus.query('x', { ...ADDRESS, secret: { user: 'u' } }, http, SIGNAL), { kind: 'unavailable', reason: /secret/ })
  t.match(await prometheus.query('x', { ...ADDRESS, secret: { username: 'u' } }, http, SIGNAL), { kind: 'unavailable', reason: /secret/ })
  t.match(await prometheus.query('x', { at: 0, intervalSeconds: 60 }, http, SIGNAL), { kind: 'unavailable', reason: /address/ })
  t.match(await prometheus.query('x', { ...ADDRESS, url: 'file:///etc/passwd' }, http, SIGNAL), { kind: 'unavailable', reason: /address/ })
  t.same(sent, [])
})

const faults = [
  { name: 'a 400 with its explanation', answer: { status: 400, body: JSON.stringify({ status: 'error', errorType: 'bad_data', error: 'unclosed left paren' }) }, reason: 'error response: 400 unclosed left paren' },
  { name: 'a 500 without one', answer: { status: 500, body: 'oops\n' }, reason: 'error response: 500 oops' },
  { name: 'a redirect', answer: { status: 302, body: '' }, reason: 'error response: 302' },
  { name: 'a body with the token', answer: { status: 401, body: 'bad token abcdef' }, reason: 'error response: 401 bad token ***' },
  { name: 'a time-out', answer: new HttpError('timeout', 'no answer within 5000 ms'), reason: 'no answer within 5000 ms' },
]
for (const { name, answer, reason } of faults) {
  test(`unavailable: ${name}`, async (t) => {
    const http: Http = async () => { if (answer instanceof Error) throw answer; return answer }
    t.same(await prometheus.query('x', { ...ADDRESS, secret: { token: 'abcdef' } }, http, SIGNAL), { kind: 'unavailable', reason })
  })
}
