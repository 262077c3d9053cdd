import { execFile, spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import type { Measurement } from '#api/measurement.ts'
import { createHttp } from '#metrics/http.ts'
import { graphite } from '#metrics/graphite.ts'
import { addressOf, cached } from './real-server.ts'

/** Graphite itself, from Debian's packages: unpacked into the cache, installed nowhere, over a Whisper file of its own. */

const PACKAGES = [
  'graphite-web', 'python3-asgiref', 'python3-django', 'python3-django-tagging', 'python3-pyparsing', 'python3-simplejson', 'python3-six', 'python3-sqlparse', 'python3-tz', 'python3-urllib3', 'python3-whisper',
]
/** 4 MB of packages, seconds on any line: whoever is slower has no line (ms). */
const FETCH_MS = 30_000
const run = promisify(execFile)

const { folder, skip } = await cached('graphite', PACKAGES.join(), async (into) => {
  const download = () => run('apt-get', ['download', '-q', ...PACKAGES], { cwd: into, timeout: FETCH_MS })
  await run('python3', ['--version'])
  // A machine that has never asked what there is does not know any of them.
  await download().catch(async () => { await run('apt-get', ['update', '-qq'], { timeout: FETCH_MS }); await download() })
  for (const file of (await readdir(into)).filter((name) => name.endsWith('.deb'))) await run('dpkg', ['-x', file, '.'], { cwd: into })
})

async function started(): Promise<string> {
  const storage = await mkdtemp(join(tmpdir(), 'graphite-'))
  const child = spawn('python3', [new URL('graphite/serve.py', import.meta.url).pathname, storage], {
    env: { ...process.env, PYTHONPATH: join(folder, 'usr/lib/python3/dist-packages'), PYTHONDONTWRITEBYTECODE: '1' }, stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(async () => { child.kill('SIGKILL'); await rm(storage, { recursive: true, force: true }) })
  const port = await addressOf(child, child.stdout, (line) => line)
  return `http://127.0.0.1:${port}`
}

const url = skip ? '' : await started()
const { http, close } = createHttp({ allowLoopback: true })
t.teardown(close)

const rows: readonly { readonly name: string; readonly query: string; readonly is: Measurement | { readonly kind: 'unavailable'; readonly reason: RegExp } }[] = [
  { name: 'the last point of a series, past those that are still empty', query: 'target=shop.errors&from=-2min', is: { kind: 'value', value: 2.5 } },
  { name: 'a function of it', query: 'target=scale(sumSeries(shop.*),2)&from=-2min', is: { kind: 'value', value: 5 } },
  { name: 'a query over several lines, as a template has it', query: 'target=maxSeries(\n  shop.errors\n)&\n from=-2min\n', is: { kind: 'value', value: 2.5 } },
  { name: 'a series without a point', query: 'target=shop.idle&from=-2min', is: { kind: 'no-data', reason: 'no values found' } },
  { name: 'a division by nothing', query: 'target=divideSeries(shop.errors,diffSeries(shop.errors,shop.errors))&from=-2min', is: { kind: 'no-data', reason: 'no values found' } },
  { name: 'a series that there is not', query: 'target=shop.nothing&from=-2min', is: { kind: 'no-data', reason: 'no values found' } },
  { name: 'a time that Graphite does not understand', query: 'target=shop.errors&from=whenever', is: { kind: 'unavailable', reason: /^error response: 400 Invalid parameters .*whenever/ } },
]
for (const { name, query, is } of rows) {
  test(`a real Graphite: ${name}`, { skip }, async (t) => {
    t.match(await graphite.query(query, { url, at: Date.now(), intervalSeconds: 60 }, http, AbortSignal.timeout(20_000)), is)
  })
}
