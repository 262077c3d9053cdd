import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Errors } from 'typebox/value'
import type { TSchema } from 'typebox'
import { LineCounter, parseAllDocuments } from 'yaml'
import { AlertProviderSpec } from '#api/alert-provider.ts'
import { CanarySpec, type Canary } from '#api/canary.ts'
import { MetricTemplateSpec } from '#api/metric-template.ts'
import type { KubeObject, ObjectRef, Workload } from '#api/objects.ts'
import { CanaryPolicySpec, ClusterCanaryPolicySpec, type CanaryPolicy, type ClusterCanaryPolicy } from '#api/policies.ts'
import { hasStumbled } from '#policy/attempt.ts'
import { effectivePolicy, policyFindings } from '#policy/effective.ts'
import { evaluateObject, findingText } from '#policy/evaluate.ts'
import type { ProviderCapabilities, ReportedFinding, RuleContext } from '#policy/rule.ts'
import { unknownFields } from '#policy/unknown-fields.ts'
import { capabilities } from '#traffic/registry.ts'

/** The admission rules on files, without a cluster: what they would refuse, in a pull request instead of in production. */

export const LINT_FORMATS = ['text', 'json', 'sarif', 'github'] as const
export type LintFormat = (typeof LINT_FORMATS)[number]

export type LintOptions = {
  /** Files, directories (searched for .yaml, .yml and .json), or `-` for the standard input. */
  readonly paths: readonly string[]
  readonly format: LintFormat
  /** File with ClusterCanaryPolicies and CanaryPolicies. */
  readonly policy?: string
  /** Of objects that name none. */
  readonly namespace: string
  readonly defaultProvider: string
}

/** What linting needs of the world; a fake is an object literal. */
export type LintIo = {
  readText(path: string): string
  /** The manifests in a directory, in order; the path itself when it is a file. Throws when there is neither. */
  listFiles(path: string): readonly string[]
  out(text: string): void
  err(text: string): void
  readonly providers: Readonly<Record<string, ProviderCapabilities>>
}

export type LintFinding = {
  readonly severity: string
  readonly rule: string
  readonly field: string
  readonly message: string
  readonly fix: string
  readonly object: ObjectRef
  readonly file: string
  /** Line at which the object begins, from 1. */
  readonly line: number
}

export type LintReport = { readonly findings: readonly LintFinding[]; readonly unresolved: readonly string[]; readonly objects: number }

type Source = { readonly file: string; readonly line: number; readonly object: KubeObject }
type Fault = Pick<LintFinding, 'file' | 'line' | 'message'>

const SCHEMAS: Readonly<Record<string, TSchema>> = {
  Canary: CanarySpec, MetricTemplate: MetricTemplateSpec, AlertProvider: AlertProviderSpec,
  ClusterCanaryPolicy: ClusterCanaryPolicySpec, CanaryPolicy: CanaryPolicySpec,
}
const MANIFEST = /\.(ya?ml|json)$/
const USAGE = `usage: kubectl canary lint -f FILE|DIR|- [-f ...] [-o ${LINT_FORMATS.join('|')}] [--policy FILE] [-n NAMESPACE] [--provider DEFAULT]`

export const nodeIo: LintIo = {
  readText: (path) => readFileSync(path === '-' ? 0 : path, 'utf8'),
  listFiles: (path) => (path === '-' || statSync(path).isFile() ? [path]
    : readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => MANIFEST.test(name) && !name.includes('node_modules/')).sort().map((name) => join(path, name))),
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  providers: capabilities,
}

/** `kubectl canary lint`: 0 when nothing is denied, 1 when something is, 2 when it could not look. */
export function lintCommand(argv: readonly string[], io: LintIo = nodeIo): number {
  let options: LintOptions | undefined
  try {
    options = parseOptions(argv)
  } catch (err) {
    io.err(`${err instanceof Error ? err.message : String(err)}\n${USAGE}\n`)
    return 2
  }
  if (!options) {
    io.out(`${USAGE}\n`)
    return 0
  }
  try {
    return lint(options, io)
  } catch (err) {
    io.err(`cannot lint: ${err instanceof Error ? err.message : String(err)}\n`)
    return 2
  }
}

function parseOptions(argv: readonly string[]): LintOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...argv], allowPositionals: true,
    options: {
      filename: { type: 'string', short: 'f', multiple: true }, output: { type: 'string', short: 'o', default: 'text' },
      policy: { type: 'string' }, namespace: { type: 'string', short: 'n', default: 'default' },
      provider: { type: 'string', default: 'kubernetes' }, help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return undefined
  const format = LINT_FORMATS.find((one) => one === values.output)
  if (!format) throw new Error(`-o ${values.output} is unknown; use one of ${LINT_FORMATS.join(', ')}`)
  const paths = [...(values.filename ?? []), ...positionals]
  if (paths.length === 0) throw new Error('nothing to look at')
  return {
    paths, format, namespace: values.namespace, defaultProvider: values.provider,
    ...(values.policy === undefined ? {} : { policy: values.policy }),
  }
}

export function lint(options: LintOptions, io: LintIo): number {
  const report = lintFiles(options, io)
  io.out(RENDERERS[options.format](report))
  // To the other stream, so that what a machine reads stays whole.
  if (options.format !== 'json' && report.unresolved.length > 0) {
    io.err(`not among the files, so not looked at: ${report.unresolved.join(', ')}\n`)
  }
  return report.findings.some((finding) => finding.severity === 'deny') ? 1 : 0
}

/** Everything found in the files, the policies' own words included. Throws when a file cannot be read. */
export function lintFiles(options: LintOptions, io: LintIo): LintReport {
  const read = (path: string) => readManifests(path, io.readText(path), options.namespace)
  const files = options.paths.flatMap((path) => io.listFiles(path)).map(read)
  const policyFile = options.policy === undefined ? undefined : read(options.policy)
  const sources = files.flatMap((file) => file.sources)
  const policies = [...sources, ...(policyFile?.sources ?? [])].map(({ object }) => object)
  const known = sources.map(({ object }) => object)
  const looked = [...sources, ...(policyFile?.sources ?? [])].filter(({ object }) => Object.hasOwn(SCHEMAS, object.kind))

  const findings = looked.flatMap((source) =>
    findingsOf(source.object, contextFor(source.object, known, options, io), policies).map((finding) => located(finding, source)))
  const faults = [...files, ...(policyFile ? [policyFile] : [])].flatMap((file) => file.faults)
  return {
    findings: [...faults.map(unreadable), ...findings],
    unresolved: [...new Set(looked.flatMap(({ object }) => unresolvedOf(object, known)))].sort(),
    objects: looked.length,
  }
}

function findingsOf(object: KubeObject, context: RuleContext, policies: readonly KubeObject[]): ReportedFinding[] {
  const shape = schemaFindings(object)
  if (!isRecord(object['spec'])) return shape
  const effective = policyFor(policies, object.metadata.namespace ?? '')
  const judged = evaluateObject(object, context, effective.severities)
  const limited = object.kind === 'Canary' && isRecord(object['spec']['analysis']) ? policyFindings(object as Canary, effective) : []
  const told = new Set(judged.filter((finding) => finding.severity === 'deny').map((finding) => finding.field))
  return [
    // A rule says the same with a way out.
    ...shape.filter((finding) => !told.has(finding.field)),
    // What a rule stumbles over in a broken object has been told by the schema.
    ...[...judged, ...limited].filter((finding) => shape.length === 0 || !hasStumbled(finding)),
  ]
}

const policyFor = (policies: readonly KubeObject[], namespace: string) => effectivePolicy(
  policies.filter((one): one is ClusterCanaryPolicy => one.kind === 'ClusterCanaryPolicy' && isRecord(one['spec'])),
  policies.filter((one): one is CanaryPolicy => one.kind === 'CanaryPolicy' && isRecord(one['spec']) && one.metadata.namespace === namespace),
  { name: namespace },
)

/** What the API server would say, and what it would drop without saying. */
function schemaFindings(object: KubeObject): ReportedFinding[] {
  const schema = SCHEMAS[object.kind]
  if (!schema) return []
  const spec = object['spec']
  if (!isRecord(spec)) return [{ rule: 'schema', severity: 'deny', field: 'spec', message: 'is missing', fix: 'see the reference of the resource' }]
  const seen = new Set<string>()
  const broken = Errors(schema, spec).flatMap((error): ReportedFinding[] => {
    const field = `spec${fieldPath(error.instancePath)}`
    const missing = error.keyword === 'required' ? error.params.requiredProperties : undefined
    const at = missing ? missing.map((name) => `${field}.${name}`) : [field]
    return at.filter((one) => !seen.has(one)).map((one) => {
      seen.add(one)
      return { rule: 'schema', severity: 'deny' as const, field: one, message: missing ? 'is missing' : error.message, fix: 'see the reference of the resource' }
    })
  })
  const pruned = unknownFields(schema, spec, 'spec').map((field): ReportedFinding => ({
    rule: 'unknown-field', severity: 'warn', field, message: 'is unknown: the API server drops it without a word', fix: 'correct the name, or remove it',
  }))
  return [...broken, ...pruned]
}

const fieldPath = (pointer: string): string => pointer.split('/').slice(1)
  .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`)).join('')

/** The files stand for the cluster: what is among them resolves, and of the rest nothing is claimed. */
function contextFor(object: KubeObject, known: readonly KubeObject[], { defaultProvider }: LintOptions, { providers }: LintIo): RuleContext {
  const namespace = object.metadata.namespace ?? ''
  const target = isRecord(object['spec']) ? object['spec']['targetRef'] : undefined
  return {
    defaultProvider, providers,
    cluster: {
      objects: {
        get: (ref) => find(known, ref),
        list: (_, kind, where) => known.filter((one) => one.kind === kind && (where === '' || one.metadata.namespace === where)),
      },
      target: isRecord(target) ? find(known, { kind: String(target['kind']), name: String(target['name']), namespace }) as Workload | undefined : undefined,
      canaries: known.filter((one): one is Canary => one.kind === 'Canary' && isRecord(one['spec']) && isRecord(one['spec']['targetRef'])),
      knows: () => false,
    },
  }
}

const find = (known: readonly KubeObject[], ref: Pick<ObjectRef, 'kind' | 'name' | 'namespace'>): KubeObject | undefined =>
  known.find((one) => one.kind === ref.kind && one.metadata.name === ref.name && one.metadata.namespace === ref.namespace)

function unresolvedOf(object: KubeObject, known: readonly KubeObject[]): string[] {
  if (object.kind !== 'Canary' || !isRecord(object['spec'])) return []
  const { targetRef, autoscalerRef, analysis } = object['spec']
  const refs: { kind: string; ref: unknown }[] = [
    { kind: isRecord(targetRef) ? String(targetRef['kind']) : '', ref: targetRef },
    { kind: isRecord(autoscalerRef) ? String(autoscalerRef['kind']) : '', ref: autoscalerRef },
    ...listOf(isRecord(analysis) ? analysis['metrics'] : []).map((metric) => ({ kind: 'MetricTemplate', ref: isRecord(metric) ? metric['templateRef'] : undefined })),
    ...listOf(isRecord(analysis) ? analysis['alerts'] : []).map((alert) => ({ kind: 'AlertProvider', ref: isRecord(alert) ? alert['providerRef'] : undefined })),
  ]
  return refs.flatMap(({ kind, ref }) => {
    if (!isRecord(ref) || typeof ref['name'] !== 'string') return []
    const namespace = typeof ref['namespace'] === 'string' ? ref['namespace'] : object.metadata.namespace ?? ''
    return find(known, { kind, name: ref['name'], namespace }) ? [] : [`${kind} ${namespace}/${ref['name']}`]
  })
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function readManifests(file: string, text: string, namespace: string): { sources: Source[]; faults: Fault[] } {
  const lines = new LineCounter()
  const sources: Source[] = []
  const faults: Fault[] = []
  for (const document of parseAllDocuments(text, { lineCounter: lines })) {
    const line = lines.linePos(document.contents?.range?.[0] ?? document.range[0]).line
    const [error] = document.errors
    if (error) {
      faults.push({ file, line: error.linePos?.[0].line ?? line, message: error.message.split('\n')[0] ?? 'is no YAML' })
      continue
    }
    const value: unknown = document.toJS()
    const items = isRecord(value) && value['kind'] === 'List' ? listOf(value['items']) : [value]
    for (const item of items) {
      if (!isRecord(item) || typeof item['kind'] !== 'string') continue
      const metadata = isRecord(item['metadata']) ? item['metadata'] : {}
      const home = item['kind'].startsWith('Cluster') || item['kind'] === 'Namespace' ? {} : { namespace }
      sources.push({ file, line, object: { apiVersion: '', ...item, kind: item['kind'], metadata: { name: '', ...home, ...metadata } } })
    }
  }
  return { sources, faults }
}

const unreadable = ({ file, line, message }: Fault): LintFinding => ({
  severity: 'deny', rule: 'yaml', field: '', message, fix: 'correct the file', object: { apiVersion: '', kind: '', name: '' }, file, line,
})

function located({ severity, rule, field, message, fix }: ReportedFinding, { file, line, object }: Source): LintFinding {
  const { apiVersion, kind, metadata } = object
  return {
    severity, rule, field, message, fix, file, line,
    object: { apiVersion, kind, name: metadata.name, ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }) },
  }
}

const titleOf = ({ object }: LintFinding): string => [object.kind, object.namespace === undefined ? object.name : `${object.namespace}/${object.name}`].filter(Boolean).join(' ')
const wordsOf = (finding: LintFinding): string => findingText(finding as ReportedFinding & LintFinding).replace(/^: /, '')

const RENDERERS: Readonly<Record<LintFormat, (report: LintReport) => string>> = {
  text: (report) => {
    const told = report.findings.filter((finding) => finding.severity !== 'audit')
    const lines = told.map((finding) => `${finding.file}:${finding.line}: ${finding.severity}: ${titleOf(finding)}: ${wordsOf(finding)}`)
    const count = (severity: string) => told.filter((finding) => finding.severity === severity).length
    return `${[...lines, `${report.objects} object${report.objects === 1 ? '' : 's'}: ${count('deny')} denied, ${count('warn')} warned`].join('\n')}\n`
  },
  json: ({ findings, unresolved }) => `${JSON.stringify({ findings, unresolved }, undefined, 2)}\n`,
  github: ({ findings }) => findings.filter((finding) => finding.severity !== 'audit').map((finding) => {
    const level = finding.severity === 'deny' ? 'error' : 'warning'
    return `::${level} file=${property(finding.file)},line=${finding.line},title=${property(finding.rule)}::${message(`${titleOf(finding)}: ${wordsOf(finding)}`)}\n`
  }).join(''),
  sarif: ({ findings }) => `${JSON.stringify(sarif(findings), undefined, 2)}\n`,
}

/** Workflow commands end at a line break, and their properties at a comma. */
const message = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
const property = (text: string): string => message(text).replaceAll(':', '%3A').replaceAll(',', '%2C')

const SARIF_LEVELS: Readonly<Record<string, string>> = { deny: 'error', warn: 'warning' }

function sarif(findings: readonly LintFinding[]): object {
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [{
      tool: { driver: { name: 'canarygate', rules: [...new Set(findings.map(({ rule }) => rule))].sort().map((id) => ({ id })) } },
      results: findings.map((finding) => ({
        ruleId: finding.rule,
        level: SARIF_LEVELS[finding.severity] ?? 'note',
        message: { text: `${titleOf(finding)}: ${wordsOf(finding)}` },
        locations: [{
          physicalLocation: { artifactLocation: { uri: finding.file === '-' ? 'stdin' : finding.file }, region: { startLine: finding.line } },
          logicalLocations: [{ fullyQualifiedName: finding.field }],
        }],
      })),
    }],
  }
}
