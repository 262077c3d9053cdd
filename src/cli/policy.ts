import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import type { Canary } from '#api/canary.ts'
import { formatDuration } from '#api/duration.ts'
import { COMMANDS, FLAGGER_API_VERSION, GATE_ENABLED, LABEL_GATE } from '#api/names.ts'
import { splitKey, type KubeObject } from '#api/objects.ts'
import type { CanaryPolicy, ClusterCanaryPolicy } from '#api/policies.ts'
import type { Where } from '#cli/cluster.ts'
import { readCluster, readManifests, runManifestCommand, type ManifestIo } from '#cli/manifests.ts'
import { renderFault } from '#metrics/canary-query.ts'
import { GATE_API_VERSION } from '#policy/annotations.ts'
import { effectivePolicy, isGatedBy, type EffectivePolicy } from '#policy/effective.ts'
import { findingText } from '#policy/evaluate.ts'
import { findingsUnder } from '#policy/findings-under.ts'
import { frozenBy } from '#policy/freeze.ts'
import { severityOfWindow } from '#policy/holds.ts'
import type { Allowed } from '#policy/rule.ts'
import { capabilities } from '#traffic/registry.ts'

/** `kubectl canary policy explain deployment/cart`: what holds for one workload, and which policies say so. */

const USAGE = 'usage: kubectl canary policy explain deployment/NAME [-n NAMESPACE] [-f FILE|DIR ...] [--kubeconfig FILE] [--context NAME]'

type Options = Where & { readonly kind: string; readonly name: string; readonly namespace: string | undefined; readonly files: readonly string[] }

/** As people write them to kubectl. */
const KINDS: Readonly<Record<string, string>> = {
  deployment: 'deployment', deployments: 'deployment', deploy: 'deployment', 'deployment.apps': 'deployment', 'deployments.apps': 'deployment',
  daemonset: 'daemonset', daemonsets: 'daemonset', ds: 'daemonset', 'daemonset.apps': 'daemonset', 'daemonsets.apps': 'daemonset',
  service: 'service', services: 'service', svc: 'service',
}

/** 0 when it could explain, 2 when it could not look. */
export const policyCommand = (argv: readonly string[], io: ManifestIo): Promise<number> =>
  runManifestCommand(argv, io, {
    usage: USAGE, verb: 'explain', parse: parseOptions,
    async run(options) {
      const { objects, namespace } = options.files.length > 0 ? readFiles(options, io) : await readNamespace(options, io)
      io.out(explain(objects, { ...options, namespace }, io.now()))
      return 0
    },
  })

function parseOptions(argv: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...argv], allowPositionals: true,
    options: {
      filename: { type: 'string', short: 'f', multiple: true, default: [] }, namespace: { type: 'string', short: 'n' },
      kubeconfig: { type: 'string' }, context: { type: 'string' }, help: { type: 'boolean', short: 'h' },
    },
  })
  if (values.help) return undefined
  const [verb, target, ...rest] = positionals
  if (verb !== 'explain' || target === undefined || rest.length > 0) throw new Error('say explain, and of what')
  const { namespace: told, name } = splitKey(target)
  const kind = KINDS[told === '' ? 'deployment' : told.toLowerCase()]
  if (!kind || name === '') throw new Error(`${target} is no workload; write deployment/NAME, daemonset/NAME or service/NAME`)
  return { kind, name, namespace: values.namespace, files: values.filename, kubeconfig: values.kubeconfig, context: values.context }
}

type Found = { readonly objects: readonly KubeObject[]; readonly namespace: string }

function readFiles({ files, namespace = 'default' }: Options, io: ManifestIo): Found {
  const { sources, faults: [fault] } = readManifests(files, io, namespace)
  if (fault) throw new Error(`${fault.file}:${fault.line}: ${fault.message}`)
  return { objects: sources.map(({ object }) => object), namespace }
}

async function readNamespace({ kubeconfig, context, namespace: told }: Options, io: ManifestIo): Promise<Found> {
  if (!io.connect) throw new Error('no cluster can be asked: give files with -f')
  const reader = await io.connect({ kubeconfig, context })
  const namespace = told ?? reader.namespace ?? 'default'
  try {
    const objects = await readCluster(reader, [
      [GATE_API_VERSION, 'ClusterCanaryPolicy'], [GATE_API_VERSION, 'CanaryPolicy', namespace], ['v1', 'Namespace'],
      [FLAGGER_API_VERSION, 'Canary', namespace], ['apps/v1', 'Deployment', namespace], ['apps/v1', 'DaemonSet', namespace],
    ])
    return { objects, namespace }
  } finally {
    await reader.close()
  }
}

/** What holds for a workload, as text. Pure. */
export function explain(objects: readonly KubeObject[], { kind, name, namespace }: Pick<Options, 'kind' | 'name'> & { readonly namespace: string }, now: number): string {
  const of = (wanted: string): readonly KubeObject[] => objects.filter((object) => object.kind === wanted)
  const here = (wanted: string): readonly KubeObject[] => of(wanted).filter(({ metadata }) => metadata.namespace === namespace)
  const labels = of('Namespace').find(({ metadata }) => metadata.name === namespace)?.metadata.labels ?? {}
  const policy = effectivePolicy(of('ClusterCanaryPolicy') as readonly ClusterCanaryPolicy[], here('CanaryPolicy') as readonly CanaryPolicy[], { name: namespace, labels })
  const canary = (here('Canary') as readonly Canary[]).find(({ spec }) => spec.targetRef.name === name && spec.targetRef.kind.toLowerCase() === kind)
  const workload = objects.find((object) => object.kind.toLowerCase() === kind && object.metadata.name === name && object.metadata.namespace === namespace)
    ?? { apiVersion: 'apps/v1', kind, metadata: { name, namespace } }
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['policies', policy.sources],
    ['gated', [gateInWords(canary, workload, labels, policy)]],
    ['limits', Object.entries(policy.limits).map(([limit, value]) => `${limit}: ${String(value)}`)],
    ['rules', Object.entries(policy.severities).map(([rule, severity]) => `${rule}: ${severity}`)],
    ['required', requiredInWords(policy)],
    ['freeze', freezeInWords(policy, now)],
    ['at once', [
      ...(policy.concurrency.cluster === undefined ? [] : [`${policy.concurrency.cluster} in the cluster`]),
      ...(policy.concurrency.namespace === undefined ? [] : [`${policy.concurrency.namespace} in the namespace`]),
    ]],
    ['authority', [policy.authority.length === 0 ? 'open: whoever may update the Canary or its target may command it'
      : `enforced (policy ${policy.authority.join(', ')}): a reason, and the verbs ${COMMANDS.join(', ')} on canaries.flagger.app`]],
    ['reach', [
      ...policy.reach.metricHosts.map((allowed) => `metrics outside: ${inWords(allowed)}`),
      ...policy.reach.namespaces.map((allowed) => `namespaces: ${inWords(allowed)}`),
    ]],
    ['exemptions', policy.exemptions.map(({ subject, rules, expires, reason }) =>
      `${subject.kind} ${subject.name} from ${rules.join(', ')} until ${expires}${Date.parse(expires) > now ? '' : ' (expired)'}: ${reason}`)],
    ['defaults', Object.keys(policy.defaults).length === 0 ? [] : stringify(policy.defaults).trimEnd().split('\n')],
    ['findings', canary ? findingsOn(canary, policy, now) : []],
  ]
  return [`${kind}/${name} in namespace ${namespace}`, ...rows.map(([title, lines]) =>
    `${`${title}:`.padEnd(12)} ${lines.length === 0 ? 'none' : lines.join(`\n${' '.repeat(13)}`)}`)].join('\n') + '\n'
}

function gateInWords(canary: Canary | undefined, workload: KubeObject, labels: Readonly<Record<string, string>>, policy: EffectivePolicy): string {
  if (canary) return `yes, by canary "${canary.metadata.name}"`
  if (labels[LABEL_GATE] === GATE_ENABLED) return `yes, by the namespace's label ${LABEL_GATE}`
  return isGatedBy(policy, workload) ? 'yes, by a policy' : 'no'
}

const inWords = ({ names, policy }: Allowed): string => `${names.join(', ') || 'none'} (policy ${policy})`

const requiredInWords = ({ required: { metrics, alerts, approval } }: EffectivePolicy): readonly string[] =>
  [...metrics.map((metric) => `metric ${metric}`), ...(alerts ? ['an alert of severity error'] : []), ...(approval ? ['a person\'s approval before promotion'] : [])]

const freezeInWords = (policy: EffectivePolicy, now: number): readonly string[] => policy.freeze.map((window) => {
  const { name, start, duration, timeZone = 'UTC', mode = 'hold', running = 'hold' } = window
  const severity = severityOfWindow(window, policy)
  const found = frozenBy([window], now)
  const state = found ? `in force for ${formatDuration(found.until - now)} more, until ${new Date(found.until).toISOString()}` : 'not in force'
  return `${name}: "${start}" ${timeZone} for ${duration}, ${severity === 'deny' ? `changes: ${mode}, runs under way: ${running}` : severity} (policy "${window.policy}"): ${state}`
})

/** What admission would say of it, as far as it can be said without the objects that it names. */
function findingsOn(canary: Canary, policy: EffectivePolicy, now: number): readonly string[] {
  const subject = { namespace: canary.metadata.namespace ?? '', canary: canary.metadata.name }
  return findingsUnder(policy, canary, { providers: capabilities, renderFault }, subject, now).map((finding) => `${finding.severity}: ${findingText(finding)}`)
}
