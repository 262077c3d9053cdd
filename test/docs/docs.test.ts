import { accessSync, constants, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'tap'
import { parseAllDocuments, parse } from 'yaml'
import { COMMANDS } from '#api/names.ts'
import type { LintFinding } from '#cli/lint-report.ts'
import { lintCommand } from '#cli/lint.ts'
import { nodeIo } from '#cli/manifests.ts'
import { capabilities } from '#traffic/registry.ts'

/** What the pages say is there, and what is there is said: links, settings, event reasons, metrics, commands, manifests. */

const filesBelow = (folder: string, suffix: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith(suffix)).map((name) => join(folder, name)).sort()
const read = (path: string): string => readFileSync(path, 'utf8')

const PAGES = ['README.md', 'CONTRIBUTING.md', 'certs/README.md', 'examples/README.md', 'test/cluster/README.md', ...filesBelow('docs', '.md'), ...filesBelow('bench', '.md')]
const SOURCES = filesBelow('src', '.ts')
const code = SOURCES.map(read).join('\n')
const pages = PAGES.map(read).join('\n')
const operations = read('docs/operations.md')
const named = (text: string, pattern: RegExp): string[] => [...new Set([...text.matchAll(pattern)].map(([, name = '']) => name))].sort()

/** As GitHub makes them. */
const anchorsOf = (text: string): ReadonlySet<string> => new Set([...text.matchAll(/^#+\s+(.*)$/gm)]
  .map(([, title = '']) => title.toLowerCase().replaceAll(/[^\p{L}\p{N}\- _]/gu, '').replaceAll(' ', '-')))

for (const page of PAGES) {
  test(`${page}: every link and every path leads somewhere`, async (t) => {
    const text = read(page)
    for (const link of named(text, /\]\(([^)\s]+)\)/g)) {
      if (/^(https?|mailto):/.test(link)) continue
      const [path = '', anchor] = link.split('#')
      const to = path === '' ? page : normalize(join(dirname(page), path))
      t.ok(existsSync(to), link)
      if (anchor !== undefined && existsSync(to) && statSync(to).isFile()) t.ok(anchorsOf(read(to)).has(anchor), link)
    }
    for (const path of named(text, /`((?:src|docs|manifests|examples|test|bench|certs|scripts)\/[\w./-]+)`/g)) {
      // `test/agent/x` of a table is a test by its name.
      t.ok(existsSync(path) || existsSync(`${path}.test.ts`), path)
    }
  })
}

test('every setting that is read is told, and every one that is told is read', async (t) => {
  const taken = [...code.matchAll(/\{([^{}]*)\} = (?:process\.)?env\b/g)].map(([, names = '']) => names).join()
  const settings = [...named(code, /\benv\['([A-Z_]+)'\]/g), ...named(code, /\(env, '([A-Z_]+)'/g), ...named(code, /\bvariable: '([A-Z_]+)'/g), ...named(taken, /\b([A-Z_]{4,})\b/g)]
  t.ok(settings.length > 25)
  // The command line's own, which its help tells.
  const own = ['XDG_CACHE_HOME', 'NODE_COMPILE_CACHE']
  for (const name of settings.filter((one) => !own.includes(one))) t.ok(operations.includes(`\`${name}\``) || operations.includes(`${name}=`), `${name} is told in docs/operations.md`)
  for (const name of named(operations, /`([A-Z][A-Z]+_[A-Z_]+)`/g)) t.ok(settings.includes(name) || name.startsWith('OTEL_'), `${name} is read`)
})

test('every event reason is told in docs/operations.md or on a page of its own, and none that there is not', async (t) => {
  const reasons = named(code, /'(Canary(?:[A-Z][a-z]+)+)'/g).filter((reason) => !KINDS.includes(reason))
  t.ok(reasons.length > 50)
  for (const reason of reasons) t.ok(pages.includes(`\`${reason}\``), reason)
  const alerts = named(read('manifests/telemetry/prometheus-rule.yaml'), /alert: (\w+)/g)
  for (const reason of named(pages, /`(Canary(?:[A-Z][a-z]+)+)`/g)) t.ok(reasons.includes(reason) || KINDS.includes(reason) || alerts.includes(reason), `${reason} is in the code`)
})
const KINDS = ['CanaryPolicy', 'CanaryList', 'CanaryPolicyList', 'CanaryGate']

test('every metric of ours is told in docs/operations.md, and none that there is not', async (t) => {
  const metrics = named(code, /'((?:canarygate|flagger)_[a-z_]+)'/g)
  t.ok(metrics.length > 20)
  for (const name of metrics) t.match(operations, new RegExp(`\`${name}[\`{]`), name)
  for (const name of named(pages, /\b((?:canarygate|flagger)_[a-z_]+)/g)) t.ok(metrics.includes(name), `${name} is exported`)
})

test('every command of kubectl canary that a page shows is one, with options that it knows', async (t) => {
  const main = read('src/cli/main.ts') + read('src/cli/lint.ts') + read('src/cli/policy.ts')
  const options = named(main, /\b([a-z]+): \{ type: '/g)
  const shown = [...pages.matchAll(/kubectl[ -]canary (?:-- )?([a-z][a-z-]*)([^\n`|#]*)/g)]
  t.ok(shown.length > 20)
  for (const [whole, verb = '', rest = ''] of shown) {
    t.ok(['plan', 'simulate', 'lint', 'replay', 'policy', 'watch', 'version', 'help', ...COMMANDS].includes(verb as 'plan'), whole)
    for (const option of named(rest, /--([a-z]+)/g)) t.ok(options.includes(option), `${whole.trim()}: --${option}`)
  }
})

test('every example\'s Canary, and every whole object on a page, passes the rules', async (t) => {
  const blocks = PAGES.filter((page) => page !== 'docs/rules.md').flatMap((page) => [...read(page).matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text = '']) => ({ page, text })))
  t.ok(blocks.length > 5)
  const whole = blocks.filter(({ text }) => parseAllDocuments(text).every((document) => document.errors.length === 0 && (document.toJS() as { kind?: unknown } | null)?.kind !== undefined))
  for (const { page, text } of blocks) t.doesNotThrow(() => parse(text), page)
  const files = Object.fromEntries(whole.map(({ page, text }, at) => [`${page} block ${at}`, text]))
  let out = ''
  const listFiles = (path: string): readonly string[] => (path in files ? [path] : nodeIo.listFiles(path))
  const readText = (path: string): string => files[path] ?? nodeIo.readText(path)
  await lintCommand([...Object.keys(files), 'examples/payment-service', 'examples/shop-api', 'examples/web-front', '-o', 'json'], {
    ...nodeIo, listFiles, readText, out: (text) => { out += text }, err: () => undefined, providers: capabilities,
  })
  const { findings } = JSON.parse(out) as { readonly findings: readonly LintFinding[] }
  t.same(findings.filter(({ severity, rule }) => severity === 'deny' || rule === 'unknown-field').map(({ file, field, message }) => `${file}: ${field}: ${message}`), [])
})

test('kubectl finds the plugin by a link to it, as README says', async (t) => {
  t.match(read('README.md'), 'ln -s "$PWD/src/cli/main.ts" /usr/local/bin/kubectl-canary')
  t.doesNotThrow(() => accessSync('src/cli/main.ts', constants.X_OK))
  t.match(read('src/cli/main.ts'), /^#!\/usr\/bin\/env node\n/)
})

test('every field of spec.gate is told in docs/canary.md, and none that there is not', async (t) => {
  const { properties } = (JSON.parse(read('docs/schemas/canary.json')) as { properties: { spec: { properties: { gate: { properties: object } } } } }).properties.spec.properties.gate
  const told = named(read('docs/canary.md'), /^\| `spec\.gate\.(\w+)` \|/gm)
  t.same(told, Object.keys(properties).sort())
})

test('the alerts and the dashboard have something that fetches what they look at', async (t) => {
  type Monitor = { spec: { selector: { matchLabels: Record<string, string> }; podMetricsEndpoints: { port: string; honorLabels: boolean }[] } }
  type Deployment = { spec: { template: { metadata: { labels: Record<string, string> }; spec: { containers: { ports: { name: string }[] }[] } } } }
  const documents = <T>(path: string): T[] => parseAllDocuments(read(path)).map((document) => document.toJS() as T)
  const monitors = documents<Monitor>('manifests/telemetry/pod-monitor.yaml')
  for (const folder of ['install/agent', 'install/webhook', 'loadtester']) {
    const [deployment] = documents<Deployment>(`manifests/${folder}/deployment.yaml`)
    const { metadata, spec } = deployment?.spec.template ?? { metadata: { labels: {} }, spec: { containers: [] } }
    const fitting = monitors.filter(({ spec: { selector } }) => Object.entries(selector.matchLabels).every(([name, value]) => (metadata.labels as Record<string, string>)[name] === value))
    t.equal(fitting.length, 1, folder)
    t.same(fitting.flatMap(({ spec: { podMetricsEndpoints } }) => podMetricsEndpoints.map(({ port }) => port)), spec.containers.flatMap(({ ports }) => ports.map(({ name }) => name)), folder)
  }
  t.ok(monitors.every(({ spec }) => spec.podMetricsEndpoints.every(({ honorLabels }) => honorLabels)), 'a Canary keeps its own namespace')
})
