import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import type { Measurement } from '#api/measurement.ts'
import { createHttp } from '#metrics/http.ts'
import { influxdb } from '#metrics/influxdb.ts'
import { addressOf, cached } from './real-server.ts'

/** InfluxDB itself, the last version that is all Go and answers Flux where version 2 does: built into the cache from its module, over a database of its own. */

/** A cold build is a minute of two cores; whoever is slower has no line to the modules (ms). */
const BUILD_MS = 600_000
const MODULE = new URL('influxdb/', import.meta.url).pathname
const run = promisify(execFile)

const description = (await Promise.all(['go.mod', 'go.sum'].map((file) => readFile(join(MODULE, file), 'utf8')))).join('')
t.setTimeout(BUILD_MS + 60_000)
const { folder, skip } = await cached('influxdb', description, async (into) => {
  const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/local/go/bin`, CGO_ENABLED: '0' }
  await run('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-o', join(into, 'influxd'), 'github.com/influxdata/influxdb/cmd/influxd'], { cwd: MODULE, env, timeout: BUILD_MS })
})

const [USER, PASSWORD] = ['canarygate', 'hunter2-hunter2']

async function started(): Promise<string> {
  const storage = await mkdtemp(join(tmpdir(), 'influxdb-'))
  const child = spawn(join(folder, 'influxd'), ['run', '-config', '/dev/null'], {
    env: {
      HOME: storage, INFLUXDB_REPORTING_DISABLED: 'true', INFLUXDB_MONITOR_STORE_ENABLED: 'false', INFLUXDB_BIND_ADDRESS: '127.0.0.1:0',
      INFLUXDB_META_DIR: join(storage, 'meta'), INFLUXDB_DATA_DIR: join(storage, 'data'), INFLUXDB_DATA_WAL_DIR: join(storage, 'wal'),
      INFLUXDB_HTTP_BIND_ADDRESS: '127.0.0.1:0', INFLUXDB_HTTP_FLUX_ENABLED: 'true', INFLUXDB_HTTP_AUTH_ENABLED: 'true', INFLUXDB_HTTP_LOG_ENABLED: 'false',
    },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(async () => { child.kill('SIGKILL'); await rm(storage, { recursive: true, force: true }) })
  const address = await addressOf(child, child.stderr, (line) => /msg="Listening on HTTP" .*addr=(\S+)/.exec(line)?.[1])
  return `http://${address}`
}

/** Two points of a float and one of an integer, within the last minute. */
async function fill(url: string): Promise<void> {
  const post = async (path: string, body: string | URLSearchParams): Promise<void> => {
    const response = await fetch(`${url}${path}`, { method: 'POST', body, signal: AbortSignal.timeout(20_000) })
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
  }
  await post('/query', new URLSearchParams({ q: `CREATE USER ${USER} WITH PASSWORD '${PASSWORD}' WITH ALL PRIVILEGES` }))
  const as = new URLSearchParams({ u: USER, p: PASSWORD }).toString()
  await post(`/query?${as}`, new URLSearchParams({ q: 'CREATE DATABASE shop' }))
  const now = Math.floor(Date.now() / 1_000)
  await post(`/write?db=shop&precision=s&${as}`, `errors,app=cart value=1 ${now - 20}\nerrors,app=cart value=2.5 ${now - 10}\nrequests,app=cart value=4i ${now - 10}\n`)
}

const url = skip ? '' : await started()
if (!skip) await fill(url)
const { http, close } = createHttp({ allowLoopback: true })
t.teardown(close)

const of = (measurement: string): string => `from(bucket: "shop") |> range(start: -5m) |> filter(fn: (r) => r._measurement == "${measurement}")`
const rows: readonly { readonly name: string; readonly query: string; readonly is: Measurement | { readonly kind: 'unavailable'; readonly reason: RegExp }; readonly token?: string }[] = [
  { name: 'the last point of a series', query: `${of('errors')} |> last()`, is: { kind: 'value', value: 2.5 } },
  { name: 'a function of it, over several lines, as a template has it', query: `${of('errors')}\n  |> mean()\n`, is: { kind: 'value', value: 1.75 } },
  { name: 'an integer', query: `${of('requests')} |> last()`, is: { kind: 'unavailable', reason: /^_value is a long, not a float; use toFloat\(\)$/ } },
  { name: 'an integer as a float', query: `${of('requests')} |> toFloat() |> last()`, is: { kind: 'value', value: 4 } },
  { name: 'a division by nothing', query: `${of('errors')} |> last() |> map(fn: (r) => ({_value: r._value / 0.0}))`, is: { kind: 'unavailable', reason: /^error response: 500 .*cannot divide by zero$/s } },
  { name: 'a series that there is not', query: `${of('nothing')} |> last()`, is: { kind: 'no-data', reason: 'no values found' } },
  { name: 'a bucket that there is not', query: 'from(bucket: "nothing") |> range(start: -5m)', is: { kind: 'unavailable', reason: /^error response: 500 .*no database/ } },
  { name: 'a query that Flux does not understand', query: 'from(bucket: "shop" |> ', is: { kind: 'unavailable', reason: /^error response: 500 .*expected RPAREN/ } },
  { name: 'a wrong token', query: `${of('errors')} |> last()`, token: `${USER}:wrong`, is: { kind: 'unavailable', reason: /^error response: 401/ } },
]
for (const { name, query, is, token = `${USER}:${PASSWORD}` } of rows) {
  test(`a real InfluxDB: ${name}`, { skip }, async (t) => {
    t.match(await influxdb.query(query, { url, at: Date.now(), intervalSeconds: 60, secret: { token, org: 'shop' } }, http, AbortSignal.timeout(20_000)), is)
  })
}
