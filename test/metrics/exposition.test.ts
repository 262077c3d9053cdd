import fc from 'fast-check'
import { test } from 'tap'
import { MAX_SAMPLES, parseExposition, readPage } from '#metrics/exposition.ts'

const lines = (...all: readonly string[]): string => `${all.join('\n')}\n`

const samples = [
  { name: 'a value without labels', text: 'x 5', gives: [{ name: 'x', labels: {}, value: 5 }] },
  { name: 'labels', text: 'x{a="b",c="d"} 1.5e3', gives: [{ name: 'x', labels: { a: 'b', c: 'd' }, value: 1500 }] },
  { name: 'a trailing comma and white space', text: 'x{ a = "b" , } \t 1', gives: [{ name: 'x', labels: { a: 'b' }, value: 1 }] },
  { name: 'escapes in a label', text: String.raw`x{a="q\"b\\n\nl"} 1`, gives: [{ name: 'x', labels: { a: 'q"b\\n\nl' }, value: 1 }] },
  { name: 'braces and hashes in a label', text: 'x{a="}#{"} 1', gives: [{ name: 'x', labels: { a: '}#{' }, value: 1 }] },
  { name: 'a time stamp', text: 'x 1 1700000000000', gives: [{ name: 'x', labels: {}, value: 1 }] },
  { name: 'an exemplar', text: 'x{a="b"} 1 # {trace_id="z"} 0.5 1700000000', gives: [{ name: 'x', labels: { a: 'b' }, value: 1 }] },
  { name: 'infinity', text: 'x +Inf', gives: [{ name: 'x', labels: {}, value: Infinity }] },
  { name: 'comments, blank lines and other names', text: '# HELP x y\n# TYPE x counter\n\nxy 7\nx_total 8\n{bad\nx 1\n# EOF', gives: [{ name: 'x', labels: {}, value: 1 }] },
  { name: 'Windows line ends', text: 'x 1\r\nx 2\r\n', gives: [{ name: 'x', labels: {}, value: 1 }, { name: 'x', labels: {}, value: 2 }] },
  { name: 'an empty page', text: '', gives: [] },
]
for (const { name, text, gives } of samples) test(`reads ${name}`, async (t) => t.same(parseExposition(text, new Set(['x'])), { samples: gives }))

test('of a page about everybody only lines with the wanted text are parsed', async (t) => {
  const text = 'x{s="b"} 1\nx{s="a-1"} 2\ny{s="a-1"} 3\nx{s="c} broken\nx{s="a-2"} 4\nx{s="b"} 5'
  t.match(parseExposition(text, new Set(['x']), '"a-'), { samples: [{ value: 2 }, { value: 4 }] })
  t.same(parseExposition(text, new Set(['x']), '"z-'), { samples: [] })
})

const faults = [
  { name: 'an open label', text: 'x{a="b 1' },
  { name: 'labels without a value', text: 'x{a="b"}' },
  { name: 'a value that is no number', text: 'x one' },
  { name: 'NaN', text: 'x NaN' },
  { name: 'an endless line', text: `x{a="${'b'.repeat(10_000)}"} 1` },
  { name: 'endless samples', text: 'x 1\n'.repeat(MAX_SAMPLES + 1) },
]
for (const { name, text } of faults) test(`refuses ${name}`, async (t) => t.type(parseExposition(text, new Set(['x'])).fault, 'string'))

test('any text is a page or a fault', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('x', '{', '}', '"', '\\', 'a', '=', ',', ' ', '1', '\n', '#', '.') })
  fc.assert(fc.property(text, (page) => {
    const { samples: found, fault } = parseExposition(page, new Set(['x']))
    return found ? found.every(({ value }) => !Number.isNaN(value)) : typeof fault === 'string'
  }), { numRuns: 1000 })
  t.pass()
})

const HISTOGRAM = (name: string, labels: string, ...counts: readonly number[]) =>
  ['0.005', '0.1', '0.5', '+Inf'].map((le, i) => `${name}_bucket{${labels}le="${le}"} ${counts[i]}`)

const pages = [
  {
    name: 'http_requests_total with a code', text: lines('http_requests_total{code="200"} 90', 'http_requests_total{code="404"} 5', 'http_requests_total{code="503"} 5'),
    gives: { errors: { source: 'http_requests_total{code}', requests: 100, failures: 5 } },
  },
  { name: 'a class as status', text: lines('http_requests_total{status="2xx"} 9', 'http_requests_total{status="5xx"} 1'), gives: { errors: { requests: 10, failures: 1 } } },
  {
    name: 'a histogram with a status', text: lines('http_request_duration_seconds_count{status="200"} 9', 'http_request_duration_seconds_count{status="500"} 1', ...HISTOGRAM('http_request_duration_seconds', 'status="200",', 0, 5, 8, 9), ...HISTOGRAM('http_request_duration_seconds', 'status="500",', 1, 1, 1, 1)),
    gives: { errors: { source: 'http_request_duration_seconds_count{status}', requests: 10, failures: 1 }, latency: { requests: 10, bounds: [5, 100, 500], slower: [9, 4, 1] } },
  },
  {
    name: "OpenTelemetry's names", text: lines('http_server_request_duration_seconds_count{http_response_status_code="200"} 4', ...HISTOGRAM('http_server_request_duration_seconds', '', 1, 2, 3, 4)),
    gives: { errors: { requests: 4, failures: 0 }, latency: { source: 'http_server_request_duration_seconds', bounds: [5, 100, 500], slower: [3, 2, 1] } },
  },
  { name: "Spring Boot's names", text: lines('http_server_requests_seconds_count{status="200",uri="/x"} 4', 'http_server_requests_seconds_count{status="503",uri="/x"} 1', ...HISTOGRAM('http_server_requests_seconds', '', 1, 2, 3, 5)), gives: { errors: { requests: 5, failures: 1 }, latency: { bounds: [5, 100, 500], slower: [4, 3, 2] } } },
  { name: 'OpenMetrics', text: lines('# TYPE http_requests counter', 'http_requests_total{code="200"} 9.0 # {trace_id="a"} 1.0 1700000000.123', 'http_requests_created{code="200"} 1.7e+09', 'http_requests_total{code="500"} 1.0 1700000000.5', '# EOF'), gives: { errors: { requests: 10, failures: 1 } } },
  { name: 'a native histogram, of which the text format has the sum alone', text: lines('http_request_duration_seconds_bucket{le="+Inf"} 7', 'http_request_duration_seconds_sum 1.5', 'http_request_duration_seconds_count 7'), gives: { latency: { requests: 7, bounds: [] } } },
  { name: 'a histogram without a status', text: lines(...HISTOGRAM('http_request_duration_seconds', '', 0, 1, 2, 3)), gives: { latency: { requests: 3, slower: [3, 2, 1] } } },
  { name: 'requests without a status', text: 'http_requests_total 5\n', gives: {} },
  { name: 'nothing known', text: 'up 1\n', gives: {} },
]
for (const { name, text, gives } of pages) {
  test(`page: ${name}`, async (t) => {
    const { page } = readPage(text)
    t.match(page, gives)
    t.same(Object.keys(page ?? {}), Object.keys(gives))
  })
}

test('series with other buckets leave the bounds they share', async (t) => {
  const { page } = readPage(lines(...HISTOGRAM('http_request_duration_seconds', 'a="1",', 1, 2, 3, 4), 'http_request_duration_seconds_bucket{a="2",le="0.1"} 5', 'http_request_duration_seconds_bucket{a="2",le="+Inf"} 6'))
  t.same(page?.latency, { source: 'http_request_duration_seconds', requests: 10, bounds: [100], slower: [3] })
})

for (const value of ['+Inf', '-5', '1e300']) {
  test(`a page is refused whose counter is ${value}`, async (t) => t.match(readPage(`http_requests_total{code="200"} ${value}\n`).fault, /^http_requests_total is no count: /))
}

test('own names, label and unit', async (t) => {
  const text = lines('hits{outcome="500"} 1', 'hits{outcome="200"} 3', 'took_ms_bucket{le="250"} 1', 'took_ms_bucket{le="+Inf"} 4', 'http_requests_total{code="200"} 100')
  t.same(readPage(text, { requests: { name: 'hits', statusLabel: 'outcome' }, duration: { name: 'took_ms' } }).page, {
    errors: { source: 'hits{outcome}', requests: 4, failures: 1 },
    latency: { source: 'took_ms', requests: 4, bounds: [250], slower: [3] },
  })
})
