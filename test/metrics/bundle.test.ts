import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { build } from 'esbuild'
import { test } from 'tap'

/** As the image has it: one file for what always runs, others for what is loaded on demand. */
const PROBE = `
import { createMetricProviders } from '#metrics/registry.ts'
const http = async ({ url }) => ({ status: 200, body: url.includes('amazonaws') ? '{"MetricDataResults":[{"Values":[2.5]}]}' : '{}' })
for (const provider of createMetricProviders({ cluster: { raw: async () => ({}) }, wait: async () => {} }).filter(({ type }) => ['cloudwatch', 'stackdriver'].includes(type))) {
  const secret = provider.type === 'stackdriver' ? { secret: { project: 'p1', serviceAccountKey: '{"type":"service_account","client_email":"a@b","private_key":"none"}' } } : {}
  console.log(provider.type, JSON.stringify(await provider.query('[{"Id":"a"}]', { at: 0, intervalSeconds: 60, region: 'eu-west-1', ...secret }, http, AbortSignal.timeout(30000))))
}
process.exit(0)
`

test('bundled as in the image, the clouds\' libraries are files of their own, and work', async (t) => {
  const outdir = t.testdir()
  await build({
    stdin: { contents: PROBE, resolveDir: 'src', sourcefile: 'probe.ts' }, bundle: true, splitting: true, platform: 'node', target: 'node24', format: 'esm', outdir, outExtension: { '.js': '.mjs' },
    logLevel: 'error', banner: { js: 'import { createRequire } from \'node:module\'; const require = createRequire(import.meta.url);' },
  })
  t.notMatch(await readFile(`${outdir}/stdin.mjs`, 'utf8'), /GraniteServiceVersion|google-auth-library\/build|gaxios/, 'neither is in what is read at the start')
  t.ok((await readdir(outdir)).length > 2)
  const { stdout } = await promisify(execFile)(process.execPath, [`${outdir}/stdin.mjs`], { env: { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' } })
  t.match(stdout, 'cloudwatch {"kind":"value","value":2.5}')
  t.match(stdout, /stackdriver .*signing in at Google failed/, 'it got as far as the key, which is none')
})
