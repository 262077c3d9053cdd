import type { Http, HttpRequest } from '#api/http.ts'
import { test } from 'tap'
import type { Measurement } from '#api/measurement.ts'
import { parseDatadog } from '#metrics/datadog.ts'
import { parseDynatrace } from '#metrics/dynatrace.ts'
import { parseGraphite } from '#metrics/graphite.ts'
import { parseInflux } from '#metrics/influxdb.ts'
import { parseNewRelic } from '#metrics/newrelic.ts'
import { excerpt, HttpError, secretsOf, type MetricAddress } from '#metrics/provider.ts'
import { createMetricProviders } from '#metrics/registry.ts'

const SIGNAL = new AbortController().signal
const PROVIDERS = createMetricProviders({ cluster: { raw: async () => ({}) }, wait: async () => {} })
const AT = 1_700_000_000_000
const FLUX_TYPES = '#datatype,string,long,dateTime:RFC3339,double\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n'
const FLUX_HEADER = ',result,table,_time,_value\r\n'

/** What a request must look like, and an answer as the server gives it. */
const providers = [
  {
    type: 'prometheus', query: 'up', address: { url: 'http://p' }, answer: '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"2.5"]}]}}',
    sent: { url: 'http://p/api/v1/query?query=up' },
  },
  {
    type: 'datadog', query: 'avg:x{*}', address: { secret: { datadog_api_key: 'kkkk', datadog_application_key: 'aaaa\n' } }, answer: '{"status":"ok","series":[{"pointlist":[[1,1],[2,2.5],[3,null]]}]}',
    sent: { url: 'https://api.datadoghq.com/api/v1/query?query=avg%3Ax%7B*%7D&from=1699999400&to=1700000000', headers: { 'dd-api-key': 'kkkk', 'dd-application-key': 'aaaa' } },
  },
  {
    type: 'newrelic', query: 'SELECT average(d) FROM T', address: { secret: { newrelic_account_id: '51', newrelic_query_key: 'kkkk' } }, answer: '{"results":[{"result":2.5}]}',
    sent: { url: 'https://insights-api.newrelic.com/v1/accounts/51/query?nrql=SELECT+average%28d%29+FROM+T+SINCE+60+seconds+ago', headers: { 'x-query-key': 'kkkk' } },
  },
  {
    type: 'graphite', query: 'target=sum(a.b)&from=-1min', address: { url: 'http://g/x/', secret: { username: 'u', password: 'pppp' } }, answer: '[{"target":"a","datapoints":[[2.5,1],[null,2]]}]',
    sent: { url: 'http://g/x/render?target=sum%28a.b%29&from=-1min&format=json', headers: { authorization: 'Basic dTpwcHBw' } },
  },
  {
    type: 'dynatrace', query: 'builtin:x:avg', address: { url: 'https://d', secret: { dynatrace_token: 'tttt' } }, answer: '{"result":[{"metricId":"x","data":[{"values":[1]},{"values":[2.5]}]}]}',
    sent: { url: 'https://d/api/v2/metrics/query?metricSelector=builtin%3Ax%3Aavg&resolution=Inf&from=1699999400000&to=1700000000000', headers: { authorization: 'Api-Token tttt' } },
  },
  {
    type: 'influxdb', query: 'from(bucket:"b")', address: { url: 'http://i:8086', secret: { token: 'tttt', org: 'o' } }, answer: `${FLUX_TYPES}${FLUX_HEADER},,0,2020-01-01T00:00:00Z,2.5\r\n\r\n`,
    sent: { method: 'POST', url: 'http://i:8086/api/v2/query?org=o', headers: { authorization: 'Token tttt' } },
  },
] as const

for (const { type, query, address, answer, sent } of providers) {
  const ask = (http: Http, more: Partial<MetricAddress> = {}): Promise<Measurement | undefined> | undefined => PROVIDERS.find((known) => known.type === type)?.query(query, { at: AT, intervalSeconds: 60, ...address, ...more }, http, SIGNAL)

  test(`${type} asks as its server expects`, async (t) => {
    const requests: HttpRequest[] = []
    const http: Http = async (request) => { requests.push(request); return { status: 200, body: answer } }
    t.same(await ask(http), { kind: 'value', value: 2.5 })
    t.match(requests, [sent])
    t.notMatch(requests[0]?.url, /kkkk|aaaa|pppp|tttt/, 'no secret in the URL')
  })

  test(`${type} never throws, and never takes a fault for a value`, async (t) => {
    for (const body of ['', 'null', '[]x', '{}', '<html>', '{"series":{}}', '[1]', '"x"', '{"result":[1],"results":[1],"series":[1]}']) {
      const measurement = await ask(async () => ({ status: 200, body }))
      t.not(measurement?.kind, 'value', body)
    }
    for (const status of [301, 400, 401, 429, 500, 503]) t.match(await ask(async () => ({ status, body: 'kkkk tttt pppp' })), { kind: 'unavailable', reason: new RegExp(`^error response: ${status}`) })
    t.same(await ask(async () => { throw new HttpError('timeout', 'no answer within 5000 ms') }), { kind: 'unavailable', reason: 'no answer within 5000 ms' })
    if ('secret' in address) {
      t.notMatch(JSON.stringify(await ask(async () => ({ status: 500, body: 'kkkk tttt pppp' }))), new RegExp(Object.values(address.secret).filter((secret) => secret.trim().length >= 4).map((secret) => secret.trim()).join('|')))
      t.match(await ask(async () => ({ status: 200, body: answer }), { secret: { other: 'x' } }), { kind: 'unavailable', reason: /secret/ })
    }
    t.match(await ask(async () => ({ status: 200, body: answer }), { url: 'ftp://x' }), { kind: 'unavailable', reason: /address/ })
  })
}

const answers: readonly { name: string; gives: Measurement; want: Partial<Measurement> }[] = [
  { name: 'datadog without series', gives: parseDatadog('{"status":"ok","series":[]}'), want: { kind: 'no-data' } },
  { name: 'datadog without points', gives: parseDatadog('{"series":[{"pointlist":[[1,null]]}]}'), want: { kind: 'no-data' } },
  { name: 'datadog: first series', gives: parseDatadog('{"series":[{"pointlist":[[1,1]]},{"pointlist":[[1,2]]}]}'), want: { kind: 'value', value: 1 } },
  { name: 'new relic without results', gives: parseNewRelic('{"results":[]}'), want: { kind: 'no-data' } },
  { name: 'new relic with null', gives: parseNewRelic('{"results":[{"result":null}]}'), want: { kind: 'no-data' } },
  { name: 'new relic with two results', gives: parseNewRelic('{"results":[{"result":1},{"result":2}]}'), want: { kind: 'unavailable' } },
  { name: 'new relic with another name', gives: parseNewRelic('{"results":[{"average":1}]}'), want: { kind: 'unavailable' } },
  { name: 'graphite without series', gives: parseGraphite('[]'), want: { kind: 'no-data' } },
  { name: 'graphite: last point over all series', gives: parseGraphite('[{"datapoints":[[1,1],[2,2]]},{"datapoints":[[3,1],[null,2]]}]'), want: { kind: 'value', value: 3 } },
  { name: 'graphite with gaps alone', gives: parseGraphite('[{"datapoints":[[null,1]]}]'), want: { kind: 'no-data' } },
  { name: 'dynatrace without data', gives: parseDynatrace('{"result":[{"data":[]}]}'), want: { kind: 'no-data' } },
  { name: 'dynatrace with null', gives: parseDynatrace('{"result":[{"data":[{"values":[null]}]}]}'), want: { kind: 'no-data' } },
  { name: 'influx without rows', gives: parseInflux('\r\n'), want: { kind: 'no-data' } },
  { name: 'influx with a header alone', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER}`), want: { kind: 'no-data' } },
  { name: 'influx: the first record', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER},,0,"a,""b""",1\r\n,,0,t,2\r\n`), want: { kind: 'value', value: 1 } },
  { name: 'influx with an integer', gives: parseInflux(`${FLUX_TYPES.replace('double', 'long')}${FLUX_HEADER},,0,t,1\r\n`), want: { kind: 'unavailable' } },
  { name: 'influx with an error', gives: parseInflux('#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,bad bucket,897\r\n'), want: { kind: 'unavailable', reason: 'error response: bad bucket' } },
  { name: 'influx with an error after records', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER},,0,t,1\r\n\r\n#datatype,string,string\r\n#group,true,true\r\n#default,,\r\n,error,reference\r\n,out of memory,897\r\n`), want: { kind: 'unavailable', reason: 'error response: out of memory' } },
  { name: 'influx with an empty table before another', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER}\r\n${FLUX_TYPES}${FLUX_HEADER},,1,t,2\r\n`), want: { kind: 'value', value: 2 } },
  { name: 'influx with an empty table right before another', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER}${FLUX_TYPES}${FLUX_HEADER},,1,t,2\r\n`), want: { kind: 'value', value: 2 } },
  { name: 'influx with a line feed, a comma and quotes in a cell', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER},,0,"a\r\n,""b""",2\r\n`), want: { kind: 'value', value: 2 } },
  { name: 'influx with a default value', gives: parseInflux(`${FLUX_TYPES.replace('_result,,,', '_result,,,7')}${FLUX_HEADER},,0,t,\r\n`), want: { kind: 'value', value: 7 } },
  { name: 'influx with a quote that never ends', gives: parseInflux(`${FLUX_TYPES}${FLUX_HEADER},,0,"a,2\r\n`), want: { kind: 'value', value: 2 } },
  { name: 'influx without _value', gives: parseInflux(',result,x\r\n,,1\r\n'), want: { kind: 'unavailable' } },
]
for (const { name, gives, want } of answers) test(`answer: ${name}`, async (t) => t.match(gives, want))

const secrets: readonly { readonly name: string; readonly address: Pick<MetricAddress, 'url' | 'secret' | 'headers'>; readonly told: string; readonly shown: string }[] = [
  { name: 'stored with a line feed, told without', address: { secret: { token: 'hunter2-hunter2\n' } }, told: 'bad token hunter2-hunter2', shown: 'bad token ***' },
  { name: 'that begins with another', address: { secret: { id: 'abcd', token: 'abcd-efgh' } }, told: 'bad token abcd-efgh', shown: 'bad token ***' },
  { name: 'of the address', address: { url: 'http://me:pa%24%24word@p/?api_key=k-k-k-k' }, told: 'no pa$$word, no pa%24%24word, no k-k-k-k', shown: 'no ***, no ***, no ***' },
  { name: 'of a header', address: { headers: { 'X-Api-Key': ['k-k-k-k'], accept: ['text/plain'] } }, told: 'no k-k-k-k in text/plain', shown: 'no *** in text/plain' },
]
for (const { name, address, told, shown } of secrets) test(`a secret ${name} is not repeated`, async (t) => t.equal(excerpt(told, secretsOf(address)), shown))
