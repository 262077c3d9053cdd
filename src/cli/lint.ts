import { parseArgs } from 'node:util'
import { Errors } from 'typebox/value'
import type { TSchema } from 'typebox'
import { AlertProviderSpec } from '#api/alert-provider.ts'
import { CanarySpec, type Canary } from '#api/canary.ts'
import { MetricTemplateSpec } from '#api/metric-template.ts'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import type { KubeObject, ObjectRef, Workload } from '#api/objects.ts'
import { CanaryPolicySpec, ClusterCanaryPolicySpec, type CanaryPolicy, type ClusterCanaryPolicy } from '#api/policies.ts'
import { isRecord } from '#cli/input.ts'
import { LINT_FORMATS, renderReport, type LintFinding, type LintFormat, type LintReport } from '#cli/lint-report.ts'
import { readCluster, readManifests, runManifestCommand, type Fault, type ManifestIo, type Source } from '#cli/manifests.ts'
import { renderFault } from '#metrics/canary-query.ts'
import { GATE_API_VERSION } from '#policy/annotations.ts'
import { hasStumbled } from '#policy/attempt.ts'
import { effectivePolicy } from '#policy/effective.ts'
import { findingsUnder } from '#policy/findings-under.ts'
import type { ProviderCapabilities, ReportedFinding, RuleContext } from '#policy/rule.ts'
import { unknownFields } from '#policy/unknown-fields.ts'

/** The admission rules on files: what they would refuse, in a pull request instead of in production. With a cluster, what they find there. */

export type LintOptions = {
  /** Files, directories (searched for .yaml, .yml and .json), or `-` for the standard input. None: what the cluster holds. */
  readonly paths: readonly string[]
  readonly format: LintFormat
  /** File with ClusterCanaryPolicies and CanaryPolicies. */
  readonly policy?: string
  /** Of objects that name none, and the one of the cluster that is looked at; `default`, and all, when left out. */
  readonly namespace?: string
  /** Of Canaries that name none; undefined: not known. */
  readonly defaultProvider?: string
  /** A cluster stands behind the files. */
  readonly cluster: boolean
  readonly kubeconfig?: string
  readonly context?: string
}

export type LintIo = ManifestIo & { readonly providers: Readonly<Record<string, ProviderCapabilities>> }

const USAGE = `usage: kubectl canary lint -f FILE|DIR|- [-f ...] [-o ${LINT_FORMATS.join('|')}] [--policy FILE] [-n NAMESPACE] [--provider DEFAULT]
       kubectl canary lint --cluster [-f ...] [--kubeconfig FILE] [--context NAME] [...]

Exit codes: 0 nothing is denied, 1 something is, 2 it could not look.`

const SCHEMAS: Readonly<Record<string, TSchema>> = {
  Canary: CanarySpec, MetricTemplate: MetricTemplateSpec, AlertProvider: AlertProviderSpec,
  ClusterCanaryPolicy: ClusterCanaryPolicySpec, CanaryPolicy: CanaryPolicySpec,
}
/** Kinds that a cluster is asked for: those that are judged, and those that rules look up. */
const CLUSTER_KINDS: readonly (readonly [apiVersion: string, kind: string])[] = [
  [GATE_API_VERSION, 'ClusterCanaryPolicy'], [GATE_API_VERSION, 'CanaryPolicy'], ['v1', 'Namespace'],
  [FLAGGER_API_VERSION, 'Canary'], [FLAGGER_API_VERSION, 'MetricTemplate'], [FLAGGER_API_VERSION, 'AlertProvider'],
  ['apps/v1', 'Deployment'], ['apps/v1', 'DaemonSet'], ['autoscaling/v2', 'HorizontalPodAutoscaler'], ['keda.sh/v1alpha1', 'ScaledObject'],
]
const DEFAULT_NAMESPACE = 'default'

/** `kubectl canary lint`: 0 when nothing is denied, 1 when something is, 2 when it could not look. */
export const lintCommand = (argv: readonly string[], io: LintIo): Promise<number> =>
  runManifestCommand(argv, io, {
    usage: USAGE, verb: 'lint', parse: parseOptions,
    async run(options) {
      const report = await lint(options, io)
      io.out(renderReport(options.format, report))
      // To the other stream, so that what a machine reads stays whole.
      if (options.format !== 'json' && report.unresolved.length > 0) io.err(`not known here, so not looked at: ${shortened(report.unresolved)}\n`)
      return report.findings.some(({ severity }) => severity === 'deny') ? 1 : 0
    },
  })

/** Names a person still reads. */
const MAX_NAMES = 10
const shortened = (names: readonly string[]): string => (names.length <= MAX_NAMES ? names.join(', ') : `${names.slice(0, MAX_NAMES).join(', ')} and ${names.length - MAX_NAMES} more (-o json has all)`)

function parseOptions(argv: readonly string[]): LintOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...argv], allowPositionals: true,
    options: {
      filename: { type: 'string', short: 'f', multiple: true }, output: { type: 'string', short: 'o', default: 'text' },
      policy: { type: 'string' }, namespace: { type: 'string', short: 'n' }, provider: { type: 'string' },
      cluster: { type: 'boolean', default: false }, kubeconfig: { type: 'string' }, context: { type: 'string' }, help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return undefined
  const format = LINT_FORMATS.find((one) => one === values.output)
  if (!format) throw new Error(`-o ${values.output} is unknown; use one of ${LINT_FORMATS.join(', ')}`)
  const paths = [...(values.filename ?? []), ...positionals]
  if (paths.length === 0 && !values.cluster) throw new Error('nothing to look at: give files with -f, or --cluster')
  const { policy, namespace, provider, cluster, kubeconfig, context } = values
  return {
    paths, format, cluster,
    ...(policy === undefined ? {} : { policy }), ...(namespace === undefined ? {} : { namespace }),
    ...(provider === undefined ? {} : { defaultProvider: provider }), ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
  }
}

/** Everything found, on the policies too. Throws when a file cannot be read. */
export async function lint(options: LintOptions, io: LintIo): Promise<LintReport> {
  const { paths, policy, namespace = DEFAULT_NAMESPACE } = options
  const files = readManifests(paths, io, namespace)
  const policies = readManifests(policy === undefined ? [] : [policy], io, namespace)
  const stored = await storedObjects(options, io)
  const given = [...files.sources, ...policies.sources]
  // What a file says stands for what is stored under its name.
  const isGiven = new Set(given.map(({ object }) => identityOf(object)))
  const world: World = { known: [...given.map(({ object }) => object), ...stored.filter((object) => !isGiven.has(identityOf(object)))], stored, options, io }
  const asked = paths.length > 0 ? given : [...given, ...stored.map(fromCluster)]
  const looked = asked.filter(({ object }) => Object.hasOwn(SCHEMAS, object.kind) && isOfInterest(object, options))
  return {
    findings: [
      ...[...files.faults, ...policies.faults].map(unreadable),
      ...looked.flatMap((source) => findingsOn(source.object, world).map((finding) => located(finding, source))),
    ],
    unresolved: [...new Set(looked.flatMap(({ object }) => unresolvedOf(object, world)))].sort(),
    objects: looked.length,
  }
}

/** What the files, and the cluster behind them, hold. */
type World = { readonly known: readonly KubeObject[]; readonly stored: readonly KubeObject[]; readonly options: LintOptions; readonly io: LintIo }

async function storedObjects({ cluster, kubeconfig, context }: LintOptions, io: LintIo): Promise<readonly KubeObject[]> {
  if (!cluster) return []
  if (!io.connect) throw new Error('no cluster can be asked')
  const reader = await io.connect({ kubeconfig, context })
  try {
    return await readCluster(reader, CLUSTER_KINDS)
  } finally {
    await reader.close()
  }
}

const fromCluster = (object: KubeObject): Source => ({ file: 'cluster', object, lineOf: () => 1 })
const isOfInterest = ({ metadata }: KubeObject, { paths, namespace }: LintOptions): boolean =>
  paths.length > 0 || namespace === undefined || metadata.namespace === namespace
const identityOf = ({ kind, metadata }: KubeObject): string => `${kind}/${metadata.namespace ?? ''}/${metadata.name}`

function findingsOn(object: KubeObject, world: World): readonly ReportedFinding[] {
  const shape = schemaFindings(object)
  if (!isRecord(object['spec'])) return shape
  const namespace = object.metadata.namespace ?? ''
  const subject = { namespace, ...(object.kind === 'Canary' ? { canary: object.metadata.name } : {}) }
  const judged = findingsUnder(policyFor(namespace, world.known), object, contextFor(object, world), subject, world.io.now())
  const told = new Set(judged.filter(({ severity }) => severity === 'deny').map(({ field }) => field))
  return [
    // A rule says the same with a way out.
    ...shape.filter(({ field }) => !told.has(field)),
    // What a rule stumbles over in a broken object has been told by the schema.
    ...judged.filter((finding) => shape.length === 0 || !hasStumbled(finding)),
  ]
}

const policyFor = (namespace: string, known: readonly KubeObject[]) => effectivePolicy(
  known.filter((one): one is ClusterCanaryPolicy => one.kind === 'ClusterCanaryPolicy' && isRecord(one['spec'])),
  known.filter((one): one is CanaryPolicy => one.kind === 'CanaryPolicy' && isRecord(one['spec']) && one.metadata.namespace === namespace),
  { name: namespace, labels: known.find(({ kind, metadata }) => kind === 'Namespace' && metadata.name === namespace)?.metadata.labels ?? {} },
)

/** What the API server would say, and what it would drop without saying. */
function schemaFindings(object: KubeObject): ReportedFinding[] {
  const schema = SCHEMAS[object.kind]
  if (!schema) return []
  const spec = object['spec']
  if (!isRecord(spec)) return [{ rule: 'schema', severity: 'deny', field: 'spec', message: 'is missing', fix: explained(object, 'spec') }]
  const seen = new Set<string>()
  const broken = Errors(schema, spec).flatMap((error): ReportedFinding[] => {
    const field = `spec${fieldPath(error.instancePath)}`
    const missing = error.keyword === 'required' ? error.params.requiredProperties : undefined
    const at = missing ? missing.map((name) => `${field}.${name}`) : [field]
    return at.filter((one) => !seen.has(one)).map((one) => {
      seen.add(one)
      return { rule: 'schema', severity: 'deny' as const, field: one, message: missing ? 'is missing' : error.message, fix: explained(object, one) }
    })
  })
  const pruned = unknownFields(schema, spec, 'spec').map((field): ReportedFinding => ({
    rule: 'unknown-field', severity: 'warn', field, message: 'is unknown: the API server drops it without a word', fix: 'correct the name, or remove it',
  }))
  return [...broken, ...pruned]
}

/** Where the field is described: in every cluster that has the definition. */
const explained = ({ kind }: KubeObject, field: string): string => `see kubectl explain ${kind.toLowerCase()}.${field.replaceAll(/\[[^\]]*\]/g, '')}`

const fieldPath = (pointer: string): string => pointer.split('/').slice(1)
  .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`)).join('')

/** The files stand for the cluster: what is among them resolves, and of the rest nothing is claimed, unless a cluster was asked. */
function contextFor(object: KubeObject, { known, stored, options: { defaultProvider, cluster }, io: { providers } }: World): RuleContext {
  const namespace = object.metadata.namespace ?? ''
  const target = isRecord(object['spec']) ? object['spec']['targetRef'] : undefined
  const old = object.kind === 'Canary' ? find(stored, { kind: 'Canary', name: object.metadata.name, namespace }) as Canary | undefined : undefined
  return {
    defaultProvider, providers, renderFault, isOffline: !cluster,
    // Of a Canary that is stored as it stands there is nothing to compare.
    ...(old && old !== object ? { old } : {}),
    cluster: {
      objects: {
        get: (ref) => find(known, ref),
        list: (_, kind, where) => known.filter((one) => one.kind === kind && (where === '' || one.metadata.namespace === where)),
      },
      target: isRecord(target) ? find(known, { kind: String(target['kind']), name: String(target['name']), namespace }) as Workload | undefined : undefined,
      canaries: known.filter((one): one is Canary => one.kind === 'Canary' && isRecord(one['spec']) && isRecord(one['spec']['targetRef'])),
      knows: (kind) => cluster && CLUSTER_KINDS.some(([, asked]) => asked === kind),
    },
  }
}

const find = (known: readonly KubeObject[], ref: Pick<ObjectRef, 'kind' | 'name' | 'namespace'>): KubeObject | undefined =>
  known.find((one) => one.kind === ref.kind && one.metadata.name === ref.name && one.metadata.namespace === ref.namespace)

/** Objects that this one names and nobody has shown; what a cluster was asked for, a rule tells. */
function unresolvedOf(object: KubeObject, { known, options: { cluster, defaultProvider } }: World): string[] {
  const { kind, metadata, spec } = object
  if (!isRecord(spec)) return []
  const missing = referencesOf(kind, spec).flatMap((reference) => {
    const [named, ref] = reference
    if (!isRecord(ref) || typeof ref['name'] !== 'string' || (cluster && CLUSTER_KINDS.some(([, asked]) => asked === named))) return []
    const namespace = typeof ref['namespace'] === 'string' ? ref['namespace'] : metadata.namespace ?? ''
    return find(known, { kind: named, name: ref['name'], namespace }) ? [] : [`${named} ${namespace}/${ref['name']}`]
  })
  return [...missing, ...(kind === 'Canary' && spec['provider'] === undefined && defaultProvider === undefined ? ["the installation's default provider (--provider)"] : [])]
}

type Reference = readonly [kind: string, ref: unknown]

function referencesOf(kind: string, spec: Readonly<Record<string, unknown>>): readonly Reference[] {
  const typed = (ref: unknown): Reference[] => (isRecord(ref) && typeof ref['kind'] === 'string' ? [[ref['kind'], ref]] : [])
  const of = (list: unknown, part: string): unknown[] => listOf(list).map((item) => (isRecord(item) ? item[part] : undefined))
  if (kind === 'MetricTemplate') return isRecord(spec['provider']) ? [['Secret', spec['provider']['secretRef']]] : []
  if (kind === 'AlertProvider') return [['Secret', spec['secretRef']]]
  if (kind !== 'Canary') return []
  const { targetRef, autoscalerRef, ingressRef, routeRef, upstreamRef, service, analysis } = spec
  const { metrics, alerts } = isRecord(analysis) ? analysis : {}
  return [
    ...[targetRef, autoscalerRef, ingressRef, routeRef, upstreamRef].flatMap(typed),
    ...(isRecord(service) ? listOf(service['gatewayRefs']).map((ref): Reference => [isRecord(ref) && typeof ref['kind'] === 'string' ? ref['kind'] : 'Gateway', ref]) : []),
    ...of(metrics, 'templateRef').map((ref): Reference => ['MetricTemplate', ref]),
    ...of(alerts, 'providerRef').map((ref): Reference => ['AlertProvider', ref]),
  ]
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

const unreadable = ({ file, line, message }: Fault): LintFinding => ({
  severity: 'deny', rule: 'yaml', field: '', message, fix: 'correct the file', object: { apiVersion: '', kind: '', name: '' }, file, line,
})

function located({ severity, rule, field, message, fix }: ReportedFinding, { file, lineOf, object }: Source): LintFinding {
  const { apiVersion, kind, metadata } = object
  return {
    severity, rule, field, message, fix, file, line: lineOf(field),
    object: { apiVersion, kind, name: metadata.name, ...(metadata.namespace === undefined ? {} : { namespace: metadata.namespace }) },
  }
}
