import { generateKeyPairSync } from 'node:crypto'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { test, type Test } from 'tap'
import type { Measurement } from '#api/measurement.ts'
import { METRIC_PROVIDER_TYPES, type MetricProviderType } from '#api/metric-template.ts'
import { createKubeClient } from '#kube/client.ts'
import { clusterConfig } from '#kube/config.ts'
import { createHttp } from '#metrics/http.ts'
import type { MetricAddress } from '#metrics/provider.ts'
import { createMetricProviders } from '#metrics/registry.ts'
import { createStackdriver } from '#metrics/stackdriver.ts'

/** Each source over real sockets, against a server that answers as the vendor documents it: values, nothing, faults, too much, too late. */

const AT = Date.parse('2026-03-01T10:00:00.000Z')
const SECRET = 'hunter2-hunter2'
const { privateKey: PRIVATE_KEY } = generateKeyPairSync('rsa', { modulusLength: 2048, publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } })
const KEY = JSON.stringify({ type: 'service_account', client_email: 'canary@p.iam.gserviceaccount.com', private_key: PRIVATE_KEY, token_uri: 'http://169.254.169.254/token' })

// As IRSA or a pod's environment would: AWS's SDK reads them itself.
Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIATEST', AWS_SECRET_ACCESS_KEY: SECRET, AWS_EC2_METADATA_DISABLED: 'true' })

type Answer = { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly body: string } | 'hangs'
type Asked = { readonly method: string; readonly url: URL; readonly headers: IncomingHttpHeaders; readonly body: string }

async function serve(t: Test, answers: readonly Answer[]): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => { body += chunk.toString() })
    request.on('end', () => {
      asked.push({ method: request.method ?? '', url: new URL(request.url ?? '', 'http://server'), headers: request.headers, body })
      const answer = answers[Math.min(asked.length, answers.length) - 1] ?? 'hangs'
      if (answer !== 'hangs') response.writeHead(answer.status ?? 200, answer.headers).end(answer.body)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked }
}

/** Asks the server at `url` as the agent would. */
async function ask(t: Test, type: MetricProviderType, query: string, url: string, { isCluster = false, ...address }: Partial<MetricAddress> & { readonly isCluster?: boolean }, signal: AbortSignal): Promise<Measurement> {
  const { http, close } = createHttp({ allowLoopback: true })
  const now = () => performance.now()
  const cluster = createKubeClient(clusterConfig(url, 'default', async () => ({ headers: {}, tls: {} }), now), { userAgent: 'test', now, random: Math.random })
  t.teardown(async () => { await Promise.all([close(), cluster.close()]) })
  process.env['AWS_ENDPOINT_URL_CLOUDWATCH'] = url
  const provider = type === 'stackdriver' ? createStackdriver({ endpoint: url })
    : createMetricProviders({ cluster, wait: async (milliseconds, until) => { await wait(milliseconds / 100, undefined, { signal: until }).catch(() => undefined) } }).find((known) => known.type === type)
  if (!provider) throw new Error(`no provider ${type}`)
  return await provider.query(query, { at: AT, intervalSeconds: 60, ...(isCluster ? {} : { url }), ...address }, http, signal)
}

type Source = {
  readonly type: MetricProviderType
  readonly query: string
  readonly address?: Partial<MetricAddress> & { readonly isCluster?: boolean }
  /** What the server must have been asked. */
  readonly asks: { readonly method?: string; readonly path: string; readonly search?: Readonly<Record<string, string>>; readonly headers?: Readonly<Record<string, string | RegExp>>; readonly body?: string | RegExp }
  /** Bodies with the value 2.5. */
  readonly values: readonly string[]
  /** Bodies that say "nothing". */
  readonly nothing: readonly string[]
  /** Bodies whose value is none. */
  readonly notANumber: readonly string[]
  /** A body whose value is beyond every number, as a division by nothing gives it. */
  readonly endless: string
  /** Answers that are a fault, with the vendor's explanation where there is one. */
  readonly faults: readonly { readonly status?: number; readonly body: string; readonly says: RegExp }[]
  /** AWS's SDK repeats by its own clock, and the API server's client waits out its own deadline. */
  readonly throttles?: 'by itself'
}

const FLUX = '#datatype,string,long,dateTime:RFC3339,double\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n,result,table,_time,_value\r\n'
const sse = (...events: readonly (readonly [string, unknown])[]): string => events.map(([type, data]) => `event: ${type}\ndata: ${JSON.stringify(data, null, 1).replaceAll('\n', '\ndata: ')}\n\n`).join('')
const point = (value: unknown, tsId = 'AAAAAA'): readonly [string, unknown] => ['data', { data: [{ tsId, value }], logicalTimestampMs: AT }]
const END = ['control-message', { event: 'END_OF_CHANNEL', timestampMs: AT }] as const
const START = ['control-message', { event: 'STREAM_START', timestampMs: AT }] as const
const vector = (...values: readonly string[]): string => JSON.stringify({ status: 'success', data: { resultType: 'vector', result: values.map((value, i) => ({ metric: { i }, value: [1, value] })) } })
const cloudwatch = (...results: readonly unknown[]): string => JSON.stringify({ MetricDataResults: results, Messages: [] })
const google = (...values: readonly unknown[]): string => JSON.stringify({ timeSeriesDescriptor: {}, timeSeriesData: [{ pointData: values.map((value) => ({ values: [value] })) }] })
const external = (...values: readonly unknown[]): string => JSON.stringify({ kind: 'ExternalMetricValueList', apiVersion: 'external.metrics.k8s.io/v1beta1', items: values.map((value) => ({ metricName: 'm', value })) })
const METRIC_QUERIES = JSON.stringify([{ Id: 'e1', Expression: 'm1 / m2' }, { Id: 'm1', MetricStat: { Metric: { Namespace: 'AWS/X', MetricName: 'Errors' }, Period: 60, Stat: 'Sum' }, ReturnData: false }])

const sources: readonly Source[] = [
  {
    type: 'prometheus', query: 'sum(\n  rate(x[1m])\n)', address: { secret: { token: SECRET } },
    asks: { path: '/api/v1/query', search: { query: 'sum( rate(x[1m]) )' }, headers: { authorization: `Bearer ${SECRET}` } },
    values: [vector('2.5'), vector('1', '2.5')], nothing: [vector(), vector('NaN')],
    notANumber: [vector('NaN'), vector('-NaN'), vector('fast')], endless: vector('+Inf'),
    faults: [{ status: 422, body: `{"status":"error","errorType":"execution","error":"query timed out for ${SECRET}"}`, says: /422 query timed out for \*\*\*/ }, { body: '{"status":"error","error":"too many samples"}', says: /too many samples/ }],
  },
  {
    type: 'cloudwatch', query: METRIC_QUERIES, address: { region: 'eu-west-1' },
    asks: { method: 'POST', path: '/', headers: { 'x-amz-target': 'GraniteServiceVersion20100801.GetMetricData', 'authorization': /^AWS4-HMAC-SHA256 Credential=AKIATEST\/\d{8}\/eu-west-1\/monitoring\/aws4_request/ }, body: /"Id":"e1".*"StartTime":1772358600,"EndTime":1772359200.*"MaxDatapoints":20/ },
    values: [cloudwatch({ Id: 'e1', StatusCode: 'Complete', Values: [2.5, 1] }), cloudwatch({ Id: 'e1', StatusCode: 'PartialData', Values: [2.5] }, { Id: 'm1', Values: [9] })],
    nothing: [cloudwatch(), cloudwatch({ Id: 'e1', StatusCode: 'Complete', Values: [] })],
    notANumber: [cloudwatch({ Id: 'e1', StatusCode: 'Complete', Values: ['NaN'] }), cloudwatch({ Id: 'e1', StatusCode: 'Complete', Values: [null] })], endless: cloudwatch({ Id: 'e1', StatusCode: 'Complete', Values: ['Infinity'] }),
    faults: [
      { status: 400, body: '{"__type":"ValidationError","message":"The parameter MetricDataQueries.member.1.Id is required."}', says: /400 Validation\w+: .*Id is required/ },
      { status: 403, body: '{"__type":"AccessDenied","message":"User is not authorized to perform: cloudwatch:GetMetricData"}', says: /not authorized to perform: cloudwatch:GetMetricData/ },
      { body: cloudwatch({ Id: 'e1', StatusCode: 'InternalError', Values: [], Messages: [{ Code: 'X', Value: 'try later' }] }), says: /InternalError try later/ },
      { body: cloudwatch({ Id: 'e1', StatusCode: 'InternalError', Values: [1] }), says: /InternalError/ },
      { body: cloudwatch({ Id: 'e1', StatusCode: 'PartialData', Values: [] }), says: /PartialData/ },
    ],
    throttles: 'by itself',
  },
  {
    type: 'datadog', query: 'avg:x{*}', address: { secret: { datadog_api_key: SECRET, datadog_application_key: 'app-app' } },
    asks: { path: '/api/v1/query', search: { query: 'avg:x{*}', from: String(AT / 1_000 - 600), to: String(AT / 1_000) }, headers: { 'dd-api-key': SECRET, 'dd-application-key': 'app-app' } },
    values: ['{"status":"ok","series":[{"pointlist":[[1,1],[2,2.5],[3,null]]}]}'], nothing: ['{"status":"ok","series":[]}', '{"status":"ok","series":[{"pointlist":[[1,null]]}]}'],
    notANumber: ['{"status":"ok","series":[{"pointlist":[[1,"NaN"]]}]}', '{"status":"ok","series":[{"pointlist":[[1,NaN]]}]}'], endless: '{"status":"ok","series":[{"pointlist":[[1,1e999]]}]}',
    faults: [{ status: 403, body: '{"errors":["Forbidden"]}', says: /403 .*Forbidden/ }, { body: '{"status":"error","error":"Error parsing query: unable to parse avg:x","series":[]}', says: /Error parsing query/ }],
  },
  {
    type: 'dynatrace', query: 'builtin:x:avg', address: { secret: { dynatrace_token: SECRET } },
    asks: { path: '/api/v2/metrics/query', search: { metricSelector: 'builtin:x:avg', resolution: 'Inf', from: String(AT - 600_000), to: String(AT) }, headers: { authorization: `Api-Token ${SECRET}` } },
    values: ['{"totalCount":1,"result":[{"metricId":"x","data":[{"timestamps":[1],"values":[1]},{"timestamps":[2],"values":[2.5]}]}]}'], nothing: ['{"totalCount":0,"result":[{"metricId":"x","data":[]}]}', '{"result":[{"data":[{"values":[null]}]}]}'],
    notANumber: ['{"result":[{"data":[{"values":["NaN"]}]}]}', '{"result":[{"data":[{"values":[NaN]}]}]}'], endless: '{"result":[{"data":[{"values":[1e999]}]}]}',
    faults: [{ status: 401, body: '{"error":{"code":401,"message":"Token is missing required scope metrics.read"}}', says: /401 Token is missing required scope/ }],
  },
  {
    type: 'externalmetrics', query: 'shop/queue-depth?labelSelector=app%3Dcart', address: { isCluster: true },
    asks: { path: '/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/queue-depth', search: { labelSelector: 'app=cart' } },
    values: [external('2500m'), external('2.5', '9'), external('0.0000025M')], nothing: [external()],
    notANumber: [external('NaN'), external(null), external({})], endless: external('1e999'),
    faults: [{ status: 404, body: '{"kind":"Status","message":"the server could not find the metric queue-depth"}', says: /could not find the metric/ }, { body: external('many'), says: /no quantity/ }],
    throttles: 'by itself',
  },
  {
    type: 'graphite', query: 'target=sum(a.b)&\n from=-1min', address: { secret: { username: 'u', password: SECRET } },
    asks: { path: '/render', search: { target: 'sum(a.b)', from: '-1min', format: 'json' }, headers: { authorization: `Basic ${Buffer.from(`u:${SECRET}`).toString('base64')}` } },
    values: ['[{"target":"a","datapoints":[[1,1],[2.5,2],[null,3]]}]', '[{"target":"a","datapoints":[[1,1]]},{"target":"b","datapoints":[["2.5",2]]}]'], nothing: ['[]', '[{"target":"a","datapoints":[[null,1]]}]'],
    notANumber: ['[{"target":"a","datapoints":[["NaN",1]]}]', '[{"target":"a","datapoints":[[NaN,1]]}]'], endless: '[{"target":"a","datapoints":[[1e9999,1]]}]',
    faults: [{ status: 400, body: `Invalid target ${SECRET}`, says: /400 Invalid target \*\*\*/ }],
  },
  {
    type: 'influxdb', query: 'from(bucket:"b")', address: { secret: { token: SECRET, org: 'o' } },
    asks: { method: 'POST', path: '/api/v2/query', search: { org: 'o' }, headers: { authorization: `Token ${SECRET}` }, body: /from\(bucket:\\"b\\"\)/ },
    values: [`${FLUX},,0,2020-01-01T00:00:00Z,2.5\r\n,,0,2020-01-01T00:01:00Z,9\r\n\r\n`], nothing: ['\r\n', FLUX, `${FLUX},,0,2020-01-01T00:00:00Z,NaN\r\n`],
    notANumber: [`${FLUX},,0,2020-01-01T00:00:00Z,NaN\r\n`, `${FLUX},,0,2020-01-01T00:00:00Z,\r\n`], endless: `${FLUX},,0,2020-01-01T00:00:00Z,+Inf\r\n`,
    faults: [{ status: 400, body: '{"code":"invalid","message":"compilation failed: loc 1:1"}', says: /400 compilation failed/ }, { body: '#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,bad bucket,897\r\n', says: /bad bucket/ }],
  },
  {
    type: 'keptn', query: 'keptnmetric/shop/Response-Time\n', address: { isCluster: true },
    asks: { path: '/apis/metrics.keptn.sh/v1beta1/namespaces/shop/keptnmetrics/response-time' },
    values: ['{"kind":"KeptnMetric","status":{"value":"2.5"}}'], nothing: ['{"kind":"KeptnMetric"}', '{"status":{"value":""}}', '{"status":{"value":"NaN"}}'],
    notANumber: ['{"status":{"value":"NaN"}}', '{"status":{"value":2.5}}'], endless: '{"status":{"value":"+Inf"}}',
    faults: [{ status: 404, body: '{"kind":"Status","message":"keptnmetrics.metrics.keptn.sh \\"response-time\\" not found"}', says: /KeptnMetric shop\/response-time: .*not found/ }, { body: '{"status":{"value":"","errMsg":"no provider"}}', says: /no provider/ }, { body: '{"status":{"value":"fast"}}', says: /no number/ }],
    throttles: 'by itself',
  },
  {
    type: 'newrelic', query: 'SELECT average(d) FROM T', address: { secret: { newrelic_account_id: '51', newrelic_query_key: SECRET } },
    asks: { path: '/v1/accounts/51/query', search: { nrql: 'SELECT average(d) FROM T SINCE 60 seconds ago' }, headers: { 'x-query-key': SECRET } },
    values: ['{"results":[{"result":2.5}]}'], nothing: ['{"results":[]}', '{"results":[{"result":null}]}'],
    notANumber: ['{"results":[{"result":"NaN"}]}', '{"results":[{"result":NaN}]}'], endless: '{"results":[{"result":1e999}]}',
    faults: [{ status: 400, body: '{"error":"NRQL Syntax Error: Error at line 1"}', says: /400 NRQL Syntax Error/ }, { body: '{"results":[{"result":1},{"result":2}]}', says: /multiple values/ }],
  },
  {
    type: 'splunk', query: 'data("x").mean().publish()', address: { secret: { sf_token_key: SECRET } },
    asks: { method: 'POST', path: '/v2/signalflow/execute', search: { start: String(AT - 600_000), stop: String(AT), immediate: 'true' }, headers: { 'x-sf-token': SECRET }, body: 'data("x").mean().publish()' },
    values: [sse(START, ['metadata', { tsId: 'AAAAAA', properties: {} }], point(1), point(2.5), point(null), END)], nothing: [sse(START, END), sse(START, point(null), END)],
    notANumber: [sse(START, point('NaN'), END), sse(START, point({}), END)], endless: sse(START, point('endless'), END).replace('"endless"', '1e999'),
    faults: [
      { status: 401, body: `{"code":401,"message":"Unauthorized ${SECRET}"}`, says: /401 Unauthorized \*\*\*/ },
      { body: sse(START, ['error', { errors: [{ code: 'ANALYTICS_PROGRAM_NAME_ERROR' }] }]), says: /ANALYTICS_PROGRAM_NAME_ERROR/ },
      { body: sse(START, point(1), ['control-message', { event: 'CHANNEL_ABORT', abortInfo: { sf_job_abortReason: 'too many' } }]), says: /aborted: .*too many/ },
      { body: sse(START, point(1)), says: /ended before/ }, { body: sse(START, point(1), point(2, 'BBBBBB'), END), says: /multiple values/ },
    ],
  },
  {
    type: 'stackdriver', query: 'fetch x | group_by [], sum(val())', address: { secret: { project: 'shop-prod', serviceAccountKey: KEY } },
    asks: { method: 'POST', path: '/v3/projects/shop-prod/timeSeries:query', headers: { authorization: /^Bearer ey/ }, body: '{"query":"fetch x | group_by [], sum(val())"}' },
    values: [google({ doubleValue: 2.5 }, { doubleValue: 9 })], nothing: ['{}', '{"timeSeriesDescriptor":{}}', '{"timeSeriesData":[]}', google(), google({ doubleValue: 'NaN' })],
    notANumber: [google({ doubleValue: 'NaN' }), google({ doubleValue: null })], endless: google({ doubleValue: 'Infinity' }),
    faults: [{ status: 400, body: '{"error":{"code":400,"message":"line 1: Could not parse","status":"INVALID_ARGUMENT"}}', says: /400 line 1: Could not parse/ }, { body: google({ distributionValue: {} }), says: /no number/ }, { body: '{"timeSeriesData":[],"partialErrors":[{"code":4,"message":"deadline of a shard"}]}', says: /not complete: deadline of a shard/ }],
  },
]

const HUGE = 'x'.repeat(5 * 1024 * 1024)
const MALFORMED = ['', '<html>sign in</html>', '{"a":', 'null', '[1]', '"x"', '{"result":[1],"results":[1],"series":[1],"items":[1],"status":{}}x']

test('every type has its contract here', async (t) => { t.same(sources.map(({ type }) => type).toSorted(), METRIC_PROVIDER_TYPES.toSorted()) })

for (const { type, query, address = {}, asks, values, nothing, notANumber, endless, faults, throttles } of sources) {
  const answered = async (t: Test, answers: readonly Answer[], signal = AbortSignal.timeout(20_000)) => {
    const { url, asked } = await serve(t, answers)
    const measurement = await ask(t, type, query, url, address, signal)
    t.notMatch(JSON.stringify(measurement), new RegExp(SECRET), 'no secret in the reason')
    return { measurement, asked }
  }

  test(`${type}: a value, asked as the server expects it`, async (t) => {
    for (const body of values) {
      const { measurement, asked } = await answered(t, [{ body }])
      t.same(measurement, { kind: 'value', value: 2.5 }, body)
      t.equal(asked.length, 1)
      const [{ method, url, headers, body: sent }] = asked as [Asked]
      t.match({ method, path: url.pathname, search: Object.fromEntries(url.searchParams), headers, body: sent }, { method: 'GET', ...asks })
      t.notMatch(url.href, new RegExp(SECRET), 'no secret in the URL')
    }
  })

  test(`${type}: nothing is no data, not zero and not a fault`, async (t) => {
    for (const body of nothing) t.match((await answered(t, [{ body }])).measurement, { kind: 'no-data' }, body)
  })

  test(`${type}: what is no number is no value, and infinity is one`, async (t) => {
    for (const body of notANumber) t.not((await answered(t, [{ body }])).measurement.kind, 'value', body)
    t.same((await answered(t, [{ body: endless }])).measurement, { kind: 'value', value: Infinity })
  })

  test(`${type}: a server that is broken, away or says no is unavailable, whatever it says beside that`, async (t) => {
    await Promise.all([403, 500, 503].map(async (status) => {
      t.match((await answered(t, [{ status, body: values[0] ?? '' }])).measurement, { kind: 'unavailable', reason: /./ }, `${status}`)
    }))
  })

  test(`${type}: a fault is unavailable, in the server's words`, async (t) => {
    for (const { status = 200, body, says } of faults) t.match((await answered(t, [{ status, body }])).measurement, { kind: 'unavailable', reason: says })
    for (const body of MALFORMED) t.not((await answered(t, [{ body }])).measurement.kind, 'value', body)
    t.match((await answered(t, [{ status: 302, headers: { location: 'http://169.254.169.254/' }, body: '' }])).measurement, { kind: 'unavailable' }, 'redirects are not followed')
  })

  test(`${type}: throttled for a moment is asked again, for longer is unavailable`, async (t) => {
    const busy = (seconds: number): Answer => ({ status: 429, headers: { 'retry-after': String(seconds) }, body: '{"__type":"ThrottlingException","message":"Rate exceeded"}' })
    const { measurement, asked } = await answered(t, [busy(1), { body: values[0] ?? '' }])
    t.same([measurement, asked.length], [{ kind: 'value', value: 2.5 }, 2])
    const long = await answered(t, [busy(60)], AbortSignal.timeout(3_000))
    t.match(long.measurement, { kind: 'unavailable', reason: throttles ? /.+/ : /429 .*Rate exceeded.*asks to wait 60 s/ })
  })

  test(`${type}: too much, and too late, are unavailable`, async (t) => {
    // The API server's answers have no bound of ours: what it keeps is its own.
    t.match((await answered(t, [{ body: HUGE }])).measurement, { kind: 'unavailable', reason: address.isCluster ? /./ : /larger than/ })
    const begun = performance.now()
    t.match((await answered(t, ['hangs'], AbortSignal.timeout(300))).measurement, { kind: 'unavailable' })
    t.ok(performance.now() - begun < 4_000, 'given up with the round')
  })
}

const whole = [
  { name: 'a whole number of Google', type: 'stackdriver', query: 'x', address: { secret: { project: 'p1', serviceAccountKey: KEY } }, body: google({ int64Value: '12' }), is: { kind: 'value', value: 12 } },
  { name: 'Google without a project', type: 'stackdriver', query: 'x', address: { secret: { serviceAccountKey: KEY } }, body: '', is: { kind: 'unavailable', reason: /no project/ } },
  { name: 'a project that is a path', type: 'stackdriver', query: 'x', address: { secret: { project: 'p/../x', serviceAccountKey: KEY } }, body: '', is: { kind: 'unavailable', reason: /no id/ } },
  { name: 'a key that would read files and ask servers', type: 'stackdriver', query: 'x', address: { secret: { project: 'p1', serviceAccountKey: '{"type":"external_account","credential_source":{"url":"http://169.254.169.254"}}' } }, body: '', is: { kind: 'unavailable', reason: /no JSON key of a service account/ } },
  { name: 'CloudWatch without a region', type: 'cloudwatch', query: METRIC_QUERIES, address: {}, body: '', is: { kind: 'unavailable', reason: /region/ } },
  { name: 'a region that is a host', type: 'cloudwatch', query: METRIC_QUERIES, address: { region: 'x.evil.example/' }, body: '', is: { kind: 'unavailable', reason: /region/ } },
  { name: 'CloudWatch asked in prose', type: 'cloudwatch', query: 'SELECT AVG(x)', address: { region: 'eu-west-1' }, body: '', is: { kind: 'unavailable', reason: /JSON list/ } },
  { name: 'an external metric elsewhere, with its own token', type: 'externalmetrics', query: 'depth', address: { secret: { token: SECRET } }, body: external('7'), is: { kind: 'value', value: 7 } },
  { name: 'an external metric in three parts', type: 'externalmetrics', query: 'a/b/c', address: {}, body: external('7'), is: { kind: 'unavailable', reason: /form/ } },
  { name: 'an external metric that climbs', type: 'externalmetrics', query: 'shop/..', address: {}, body: external('7'), is: { kind: 'unavailable', reason: /form/ } },
  { name: 'a token without an address', type: 'externalmetrics', query: 'depth', address: { isCluster: true, secret: { token: SECRET } }, body: external('7'), is: { kind: 'unavailable', reason: /needs spec\.provider\.address/ } },
  { name: 'Keptn asked for something else', type: 'keptn', query: 'secret/shop/x', address: { isCluster: true }, body: '{}', is: { kind: 'unavailable', reason: /form/ } },
  { name: 'a Keptn name that climbs', type: 'keptn', query: 'keptnmetric/../x', address: { isCluster: true }, body: '{}', is: { kind: 'unavailable', reason: /form/ } },
  { name: 'an Analysis in somebody else\'s namespace', type: 'keptn', query: 'analysis/kube-system/x', address: { isCluster: true, namespaces: ['shop'] }, body: '{}', is: { kind: 'unavailable', reason: /only made in shop, not in kube-system/ } },
] as const
for (const { name, type, query, address, body, is } of whole) {
  test(name, async (t) => {
    const { url, asked } = await serve(t, [{ body }])
    t.match(await ask(t, type, query, url, address, AbortSignal.timeout(5_000)), is)
    t.equal(asked.length, is.kind === 'value' ? 1 : 0)
  })
}

test('an external metric elsewhere never gets the agent\'s own token', async (t) => {
  const { url, asked } = await serve(t, [{ body: external('7') }])
  await ask(t, 'externalmetrics', 'depth', url, {}, AbortSignal.timeout(5_000))
  t.match(asked, [{ url: { pathname: '/apis/external.metrics.k8s.io/v1beta1/namespaces/default/depth' }, headers: { authorization: undefined } }])
})

const verdicts = [
  { name: 'an Analysis that passes is 1', status: { state: 'Completed', pass: true }, is: { kind: 'value', value: 1 } },
  { name: 'an Analysis that fails is 0', status: { state: 'Completed' }, is: { kind: 'value', value: 0 } },
] as const
for (const { name, status, is } of verdicts) {
  test(`keptn: ${name}, and it is taken away`, async (t) => {
    const { url, asked } = await serve(t, [{ status: 201, body: '{"metadata":{"name":"speed-x7k2p"}}' }, { body: '{"status":{"state":"Progressing"}}' }, { body: JSON.stringify({ status }) }, { body: '{}' }])
    t.same(await ask(t, 'keptn', 'analysis/shop/speed/5m/team=a;x=y;z', url, { isCluster: true, namespaces: ['shop'] }, AbortSignal.timeout(5_000)), is)
    const path = '/apis/metrics.keptn.sh/v1beta1/namespaces/shop/analyses'
    t.same(asked.map(({ method, url: { pathname } }) => [method, pathname]), [['POST', path], ['GET', `${path}/speed-x7k2p`], ['GET', `${path}/speed-x7k2p`], ['DELETE', `${path}/speed-x7k2p`]])
    t.match(JSON.parse(asked[0]?.body ?? ''), { kind: 'Analysis', metadata: { generateName: 'speed-' }, spec: { analysisDefinition: { name: 'speed' }, timeframe: { recent: '5m' }, args: { team: 'a', x: 'y' } } })
  })
}

test('keptn: an Analysis that does not end is given up and taken away', async (t) => {
  const { url, asked } = await serve(t, [{ status: 201, body: '{"metadata":{"name":"speed-x7k2p"}}' }, { body: '{"status":{"state":"Pending"}}' }])
  const round = new AbortController()
  const measurement = ask(t, 'keptn', 'analysis/shop/speed', url, { isCluster: true, namespaces: ['shop'] }, round.signal)
  while (asked.length < 3) await wait(5)
  round.abort()
  t.match(await measurement, { kind: 'unavailable', reason: /did not finish|could not run/ })
  t.equal(asked.at(-1)?.method, 'DELETE')
})

const addresses = [
  { given: 'https://api.eu0.signalfx.com', asked: 'https://stream.eu0.signalfx.com/v2/signalflow/execute' },
  { given: 'wss://stream.eu0.signalfx.com', asked: 'https://stream.eu0.signalfx.com/v2/signalflow/execute' },
  { given: 'http://rapid.test/api.x', asked: 'http://rapid.test/api.x/v2/signalflow/execute' },
]
for (const { given, asked } of addresses) {
  test(`splunk at ${given} is asked at ${asked}`, async (t) => {
    const urls: string[] = []
    const splunk = createMetricProviders({ cluster: { raw: async () => ({}) }, wait: async () => {} }).find(({ type }) => type === 'splunk')
    await splunk?.query('x', { url: given, at: AT, intervalSeconds: 60, secret: { sf_token_key: SECRET } }, async ({ url }) => { urls.push(url.split('?', 1)[0] ?? ''); return { status: 200, body: '' } }, AbortSignal.timeout(1_000))
    t.same(urls, [asked])
  })
}
