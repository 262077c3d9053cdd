import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import type { LintFinding } from '#cli/lint-report.ts'
import { lintCommand, type LintIo } from '#cli/lint.ts'
import { nodeIo } from '#cli/manifests.ts'
import { FLAGGER_ROUTERS } from '#policy/flagger-routers.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')

async function run(argv: readonly string[], files: Readonly<Record<string, string>>, stored: readonly KubeObject[] = [], providers: LintIo['providers'] = FLAGGER_ROUTERS) {
  let out = ''
  let err = ''
  const io: LintIo = {
    readText: (path) => {
      const text = files[path]
      if (text === undefined) throw new Error(`no such file: ${path}`)
      return text
    },
    listFiles: (path) => (path in files ? [path] : Object.keys(files).filter((name) => name.startsWith(`${path}/`)).sort()),
    out: (text) => { out += text },
    err: (text) => { err += text },
    now: () => NOW,
    providers,
    connect: async () => ({ list: async (_, kind, namespace) => stored.filter((one) => one.kind === kind && (namespace === undefined || one.metadata.namespace === namespace)), close: async () => undefined }),
  }
  return { code: await lintCommand(argv, io), out, err }
}
const findings = (out: string): LintFinding[] => (JSON.parse(out) as { findings: LintFinding[] }).findings
const at = (out: string): string[] => findings(out).filter((one) => one.severity === 'deny').map((one) => `${one.rule} ${one.field}`)

const canary = (analysis: string, more = '') => `apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: cart, namespace: shop}
spec:
  provider: traefik
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}
  service: {port: 80}
  analysis: ${analysis}
${more}`
const GOOD = canary('{interval: 1m, threshold: 5, stepWeight: 10, maxWeight: 50, metrics: [{name: request-success-rate, thresholdRange: {min: 99}}], alerts: [{name: a, severity: error, providerRef: {name: a}}]}')
const BAD = canary('{interval: 1m, threshold: 5, stepWeight: 60, maxWeight: 50}')

test('a good manifest passes, and it is said what could not be looked at', async (t) => {
  const { code, out, err } = await run(['-f', 'a.yaml'], { 'a.yaml': GOOD })
  t.equal(code, 0)
  t.equal(out, '1 object: 0 denied, 0 warned\n')
  t.equal(err, 'not known here, so not looked at: AlertProvider shop/a, Deployment shop/cart\n')
})

test('a denial exits 1 and names file, line, object, field, way out and rule', async (t) => {
  const { code, out } = await run(['-f', 'a.yaml'], { 'a.yaml': `# first\n---\n${BAD}` })
  t.equal(code, 1)
  t.match(out, 'a.yaml:10: deny: Canary shop/cart: spec.analysis.stepWeight: 60 is more than maxWeight (50); use at most 50 (step-above-max)\n')
})

test('warnings alone exit 0', async (t) => {
  t.match(await run(['-f', 'a.yaml'], { 'a.yaml': canary('{interval: 15s, threshold: 5, stepWeight: 10, maxWeight: 50}') }), { code: 0 })
})

test('json holds everything a program needs', async (t) => {
  const { out, err } = await run(['-f', 'a.yaml', '-o', 'json'], { 'a.yaml': BAD })
  t.match(findings(out).find((one) => one.rule === 'step-above-max'), {
    severity: 'deny', rule: 'step-above-max', field: 'spec.analysis.stepWeight', message: '60 is more than maxWeight (50)', fix: 'use at most 50',
    object: { apiVersion: 'flagger.app/v1beta1', kind: 'Canary', namespace: 'shop', name: 'cart' }, file: 'a.yaml',
  })
  t.match(JSON.parse(out), { unresolved: ['Deployment shop/cart'] })
  t.equal(err, '')
})

test('github gets workflow commands, one a line', async (t) => {
  const { out } = await run(['-f', 'a,b.yaml', '-o', 'github'], { 'a,b.yaml': BAD })
  t.match(out, /^::error file=a%2Cb\.yaml,line=8,title=step-above-max::Canary shop\/cart: spec\.analysis\.stepWeight: 60 is more.*$/m)
})

test('sarif names rules and places', async (t) => {
  const report = JSON.parse((await run(['-f', 'a.yaml', '-o', 'sarif'], { 'a.yaml': BAD })).out) as { runs: { results: { ruleId: string }[] }[] }
  t.match(report, { version: '2.1.0', runs: [{ tool: { driver: { name: 'canarygate' } } }] })
  t.match(report.runs[0]?.results.find((one) => one.ruleId === 'step-above-max'), {
    level: 'error', locations: [{ physicalLocation: { artifactLocation: { uri: 'a.yaml' }, region: { startLine: 8 } } }],
  })
})

test('fields that the API server would drop are told', async (t) => {
  const { out } = await run(['-f', 'a.yaml', '-o', 'json'], { 'a.yaml': canary('{interval: 1m, threshold: 5, stepWeigth: 10, stepWeight: 10, maxWeight: 50}') })
  t.match(findings(out).find((one) => one.rule === 'unknown-field'), { severity: 'warn', field: 'spec.analysis.stepWeigth' })
})

const refused = [
  { name: 'a fraction is told once, by the rule', text: canary('{interval: 1m, threshold: 5, stepWeight: 2.5}'), denied: ['whole-numbers spec.analysis.stepWeight'] },
  { name: 'a number where a duration belongs', text: canary('{interval: 60, threshold: 5, stepWeight: 10}'), denied: ['interval-format spec.analysis.interval'] },
  { name: 'a required field', text: canary('{interval: 1m, threshold: 5, stepWeight: 10, webhooks: [{url: "http://a.test/"}]}'), denied: ['schema spec.analysis.webhooks[0].name'] },
  { name: 'an unknown provider', text: GOOD.replace('provider: traefik', 'provider: envoy'), denied: ['provider-supported spec.provider'] },
  { name: 'no spec', text: 'apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {name: a}\n', denied: ['schema spec'] },
  { name: 'no analysis', text: GOOD.replace(/ {2}analysis: .*\n/, ''), denied: ['analysis-present spec.analysis'] },
  { name: 'a list of wrong type', text: canary('{interval: 1m, threshold: 5, stepWeight: 10, metrics: {name: a}}'), denied: ['schema spec.analysis.metrics'] },
]
for (const { name, text, denied } of refused) {
  test(`refused: ${name}`, async (t) => { t.strictSame(at((await run(['-f', 'a.yaml', '-o', 'json'], { 'a.yaml': text })).out), denied) })
}

test('broken YAML is told by its place and the parser\'s words alone', async (t) => {
  const files = { 'a.yaml': 'a: b: c\n' }
  t.match((await run(['-f', 'a.yaml'], files)).out, /^a\.yaml:1: deny: Nested mappings are not allowed in compact mappings; correct the file \(yaml\)\n/)
  t.match((await run(['-f', 'a.yaml', '-o', 'github'], files)).out, /^::error file=a\.yaml,line=1,title=yaml::Nested mappings/)
})

test('broken YAML is a denial with its line, and the rest is looked at', async (t) => {
  const { code, out } = await run(['-f', 'd', '-o', 'json'], { 'd/a.yaml': 'a: [1\nb: 2\n', 'd/b.yaml': BAD })
  t.equal(code, 1)
  t.match(findings(out)[0], { rule: 'yaml', file: 'd/a.yaml' })
  t.ok(findings(out).some((one) => one.rule === 'step-above-max' && one.file === 'd/b.yaml'))
})

test('files stand for the cluster: templates, targets and other Canaries among them are looked at', async (t) => {
  const template = 'kind: MetricTemplate\napiVersion: flagger.app/v1beta1\nmetadata: {name: m, namespace: shop}\nspec: {provider: {type: prometheus, address: "http://p.test"}, query: "up{job=\\"{{ variables.job }}\\"}"}\n'
  const using = canary('{interval: 1m, threshold: 5, stepWeight: 10, maxWeight: 50, metrics: [{name: m, interval: 1m, thresholdRange: {max: 1}, templateRef: {name: m}}]}')
  t.ok(at((await run(['-f', 'd', '-o', 'json'], { 'd/a.yaml': using, 'd/m.yaml': template })).out).includes('metric-template-variables spec.analysis.metrics[0].templateVariables'))
  const two = `${GOOD}---\n${GOOD.replace('name: cart, namespace: shop', 'name: other, namespace: shop')}`
  t.strictSame(at((await run(['-f', 'a.yaml', '-o', 'json'], { 'a.yaml': two })).out), ['duplicate-target spec.targetRef.name', 'duplicate-target spec.targetRef.name'])
})

test('a target without a selector is not said to select everything, and a missing field is explained by kubectl', async (t) => {
  const target = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart, namespace: shop}\nspec: {template: {}}\n'
  const { out } = await run(['-f', 'a.yaml'], { 'a.yaml': `${target}---\n${GOOD.replace('apiVersion: apps/v1, ', '')}` })
  t.match(out, /spec\.targetRef\.name: cart has no spec\.selector, so the API server refuses it/)
  t.match(out, /spec\.targetRef\.apiVersion: is missing; see kubectl explain canary\.spec\.targetRef\.apiVersion/)
})

test('an autoscaler that the Canary does not name is told with what to add, KEDA\'s own as what it was made from', async (t) => {
  const scaler = (owner: string) => `apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: cart-hpa, namespace: shop${owner}}\nspec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}}\n`
  for (const [owner, add] of [
    ['', 'add {apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, name: cart-hpa}'],
    [', ownerReferences: [{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: cart-so, uid: x}]', 'add {apiVersion: keda.sh/v1alpha1, kind: ScaledObject, name: cart-so}'],
  ] as const) {
    const { out } = await run(['-f', 'a.yaml', '-o', 'json'], { 'a.yaml': `${GOOD}---\n${scaler(owner)}` })
    t.match(findings(out).find(({ rule }) => rule === 'foreign-autoscaler'), { severity: 'warn', fix: add })
  }
})

test('a List is looked into, other kinds are passed over', async (t) => {
  const list = `kind: List\napiVersion: v1\nitems:\n  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n  - {apiVersion: flagger.app/v1beta1, kind: AlertProvider, metadata: {name: a}, spec: {type: slack}}\n`
  t.strictSame(at((await run(['-f', 'a.yaml', '-o', 'json'], { 'a.yaml': list })).out), ['alert-address spec.secretRef'])
})

test('a policy\'s severities, limits and requirements hold', async (t) => {
  const policy = 'apiVersion: canarygate.dev/v1alpha1\nkind: ClusterCanaryPolicy\nmetadata: {name: strict}\nspec: {rules: {no-alerts: deny, step-above-max: "off"}, limits: {minInterval: 2m}, required: {metrics: [request-duration]}}\n'
  const { out } = await run(['-f', 'a.yaml', '--policy', 'p.yaml', '-o', 'json'], { 'a.yaml': BAD, 'p.yaml': policy })
  t.strictSame(at(out), ['no-alerts spec.analysis.alerts', 'policy-limits spec.analysis.interval', 'policy-required spec.analysis.metrics'])
})

const POLICY = (spec: string) => `apiVersion: canarygate.dev/v1alpha1\nkind: ClusterCanaryPolicy\nmetadata: {name: strict}\nspec: ${spec}\n`
test('what a policy gives by default is not missed, and who is exempt is only warned', async (t) => {
  const denied = async (policy: string): Promise<string[]> => at((await run(['-f', 'a.yaml', '--policy', 'p.yaml', '-o', 'json'], { 'a.yaml': GOOD, 'p.yaml': policy })).out)
  const LIMITS = 'required: {metrics: [request-duration], approval: true}, limits: {minInterval: 2m}'
  t.strictSame(await denied(POLICY(`{${LIMITS}}`)), ['policy-limits spec.analysis.interval', 'policy-required spec.analysis.metrics', 'policy-required spec.gate.atMaxWeight'])
  t.strictSame(await denied(POLICY(`{${LIMITS}, defaults: {gate: {atMaxWeight: wait}}}`)), ['policy-limits spec.analysis.interval', 'policy-required spec.analysis.metrics'])
  const exemption = (expires: string) => `exemptions: [{subject: {kind: Canary, name: cart}, rules: [policy-limits, policy-required], reason: new, expires: "${expires}"}]`
  t.strictSame(await denied(POLICY(`{${LIMITS}, ${exemption('2027-01-01T00:00:00Z')}}`)), [])
  t.equal((await denied(POLICY(`{${LIMITS}, ${exemption('2026-01-01T00:00:00Z')}}`))).length, 3, 'an exemption that is over exempts nobody')
})

test('a provider that is not driven yet is a warning in files, unless a policy or a cluster says otherwise', async (t) => {
  const file = { 'a.yaml': GOOD.replace('provider: traefik', 'provider: osm').replace('stepWeight: 10', 'stepWeight: 10, mirror: true'), 'p.yaml': POLICY('{rules: {provider-supported: deny}}') }
  const severities = async (...more: readonly string[]) => {
    const { out } = await run(['-f', 'a.yaml', '-o', 'json', ...more], file, [], { traefik: FLAGGER_ROUTERS.traefik })
    return findings(out).filter(({ rule }) => rule === 'provider-supported' || rule === 'mirror-provider').map(({ rule, severity }) => `${rule}: ${severity}`).sort()
  }
  t.strictSame(await severities(), ['mirror-provider: deny', 'provider-supported: warn'], 'what its router cannot do is a fault all the same')
  t.strictSame(await severities('--policy', 'p.yaml'), ['mirror-provider: deny', 'provider-supported: deny'])
  t.strictSame(await severities('--cluster'), ['mirror-provider: deny', 'provider-supported: deny'])
})

test('a Canary without a provider is not judged by one, unless it is given', async (t) => {
  const file = { 'a.yaml': canary('{interval: 1m, threshold: 5, iterations: 5, match: [{headers: {x-a: {exact: b}}}]}').replace('  provider: traefik\n', '') }
  const asked = await run(['-f', 'a.yaml', '-o', 'json'], file)
  t.strictSame(at(asked.out), [])
  t.match(JSON.parse(asked.out), { unresolved: ['Deployment shop/cart', "the installation's default provider (--provider)"] })
  t.strictSame(at((await run(['-f', 'a.yaml', '-o', 'json', '--provider', 'linkerd'], file)).out), ['match-provider spec.analysis.match'])
})

const stored = (kind: string, name: string, more: object = {}): KubeObject => ({ apiVersion: 'v1', kind, metadata: { name, namespace: 'shop' }, ...more })
test('with a cluster, its objects and policies count, and references resolve', async (t) => {
  const policy = { apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name: 'base' }, spec: { limits: { maxWeight: 20 } } }
  const { out } = await run(['-f', 'a.yaml', '--cluster', '-o', 'json'], { 'a.yaml': GOOD }, [policy])
  t.strictSame(at(out), ['policy-limits spec.analysis.maxWeight'])
  t.strictSame(findings(out).filter(({ rule }) => rule.endsWith('-exists')).map(({ rule }) => rule), ['alert-provider-exists', 'target-exists'])
  t.strictSame(JSON.parse(out).unresolved, [], 'what the cluster does not hold, a rule tells')
})
test('without files it is the cluster\'s own objects that are judged', async (t) => {
  const bad = stored('Canary', 'cart', { spec: { targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' }, service: { port: 80 }, analysis: { interval: '1m', threshold: 5, stepWeight: 60, maxWeight: 50 } } })
  t.strictSame(at((await run(['--cluster', '-o', 'json', '--provider', 'traefik'], {}, [bad])).out), ['step-above-max spec.analysis.stepWeight'])
  t.match(await run(['--cluster', '-n', 'other'], {}, [bad]), { code: 0, out: '0 objects: 0 denied, 0 warned\n' })
})

test('the standard input is -', async (t) => {
  t.equal((await run(['-f', '-'], { '-': BAD })).code, 1)
})

const unusable = [
  { name: 'nothing to look at', argv: [], says: /nothing to look at/ },
  { name: 'an unknown format', argv: ['-f', 'a', '-o', 'xml'], says: /-o xml is unknown; use one of text, json, sarif, github/ },
  { name: 'an unknown option', argv: ['--fix'], says: /fix/ },
  { name: 'nothing that a template rendered', argv: ['-f', 'empty.yaml'], says: /cannot lint: no object of Kubernetes in empty\.yaml/ },
  { name: 'a file that is not there', argv: ['-f', 'nowhere'], says: /cannot lint: no manifests in nowhere/ },
]
for (const { name, argv, says } of unusable) {
  test(`exit 2: ${name}`, async (t) => {
    const { code, err } = await run(argv, { 'empty.yaml': '# nothing\n---\n' })
    t.equal(code, 2)
    t.match(err, says)
  })
}

test('aliases that grow without end are a denial, and the rest is looked at', async (t) => {
  const growing = ['a: &a [x,x,x,x,x,x,x,x,x]', ...[...'bcdefgh'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefgh'[i] ?? ''}`).join(',')}]`)].join('\n')
  const { code, out } = await run(['-f', 'a.yaml'], { 'a.yaml': `${growing}\n---\n${BAD}` })
  t.equal(code, 1)
  t.match(out, /a\.yaml:1: deny: Excessive alias count/)
  t.match(out, /1 object: 2 denied/)
})

test('of many objects that are not known a few are named', async (t) => {
  const many = Array.from({ length: 30 }, (_, i) => BAD.replaceAll('name: cart', `name: cart-${i}`)).join('\n---\n')
  t.match((await run(['-f', 'a.yaml', '--provider', 'kubernetes'], { 'a.yaml': many })).err, /^not known here, so not looked at: (\S+ \S+, ){9}\S+ \S+ and \d+ more \(-o json has all\)\n$/)
})

test('help exits 0', async (t) => { t.match(await run(['--help'], {}), { code: 0, out: /usage: kubectl canary lint/ }) })

test('a directory on disk is searched', async (t) => {
  const directory = fileURLToPath(new URL('../policy/fixtures', import.meta.url))
  t.equal(nodeIo.listFiles(directory).length, readdirSync(directory).length)
})
