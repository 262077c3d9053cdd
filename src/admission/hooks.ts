import { FLAGGER_GROUP, GATE_GROUP } from '#api/names.ts'
import type { ReportedFinding } from '#policy/rule.ts'
import { type Answer, allowed, audited, denied, type FailurePolicy, patched } from '#admission/answer.ts'
import { reviewCanary, reviewObject } from '#admission/canaries.ts'
import { signCommands } from '#admission/commands.ts'
import { takeOver } from '#admission/generated.ts'
import { guardGenerated } from '#admission/guard-generated.ts'
import { guardScale, guardWorkload, type Verdict } from '#admission/guards.ts'
import { warnLeaving } from '#admission/leaving.ts'
import type { AdmissionRequest } from '#admission/review.ts'
import { keepServing } from '#admission/services.ts'
import type { AdmissionRules, AdmissionState } from '#admission/state.ts'
import { truthfulStatus } from '#admission/status.ts'
import { isExcluded } from '#admission/target.ts'
import { mutateWorkload } from '#admission/workloads.ts'

export const HOOK_PATHS = ['/mutate', '/status', '/validate'] as const
export type HookPath = (typeof HOOK_PATHS)[number]

/** The hooks, with the failure policy that their webhooks have in `manifests/install/webhook`. */
export const FAILURE_POLICIES = {
  workloads: 'Ignore',
  services: 'Ignore',
  settings: 'Ignore',
  status: 'Ignore',
  canaries: 'Fail',
  deletions: 'Ignore',
  guards: 'Ignore',
  scale: 'Ignore',
  generated: 'Ignore',
  leaving: 'Ignore',
  /** A resource that no hook is about: a configuration that sends too much must not break anything. */
  none: 'Ignore',
} as const satisfies Record<string, FailurePolicy>
export type HookName = keyof typeof FAILURE_POLICIES

export type HookPorts = {
  readonly state: AdmissionState
  readonly rules: AdmissionRules
  readonly agentUsers: readonly string[]
  /** CanaryGate's own namespace, never gated. */
  readonly ownNamespace: string
  /** Unix ms. */
  now(): number
}

/** An answer with the findings behind it, for counting; `fault` where the hook could not do its work and its failure policy spoke. */
export type Judged = { readonly answer: Answer; readonly findings: readonly ReportedFinding[]; readonly fault?: 'errored' | 'late' }

const PASSES: Judged = { answer: allowed(), findings: [] }
const RULED_RESOURCES: Readonly<Record<string, readonly string[]>> = {
  [FLAGGER_GROUP]: ['canaries', 'metrictemplates', 'alertproviders'],
  [GATE_GROUP]: ['canarypolicies', 'clustercanarypolicies'],
}

/** Made by the agent beside workloads. Not Secrets: a review would bring their content here. */
const GENERATED_RESOURCES: Readonly<Record<string, readonly string[]>> = {
  '': ['services', 'configmaps'], apps: ['controllerrevisions'], autoscaling: ['horizontalpodautoscalers'], 'keda.sh': ['scaledobjects'], 'traefik.io': ['traefikservices'], 'gateway.networking.k8s.io': ['httproutes'],
}
/** What CanaryGate is there by. */
const LEFT_RESOURCES: Readonly<Record<string, readonly string[]>> = { '': ['namespaces'], 'apiextensions.k8s.io': ['customresourcedefinitions'] }

/** Which hook is meant: the path says what may be done, the resource what it is done to. */
export function hookOf(path: HookPath, { group, resource, subResource, operation }: AdmissionRequest): HookName {
  const isWorkload = group === 'apps' && (resource === 'deployments' || resource === 'daemonsets')
  switch (path) {
    case '/mutate':
      if (subResource !== '') return 'none'
      if (group === FLAGGER_GROUP) return resource === 'canaries' ? 'settings' : 'none'
      return isWorkload ? 'workloads' : group === '' && resource === 'services' ? 'services' : 'none'
    case '/status': return isWorkload && resource === 'deployments' && subResource === 'status' ? 'status' : 'none'
    case '/validate':
      if (isWorkload) return subResource === '' ? 'guards' : subResource === 'scale' && resource === 'deployments' ? 'scale' : 'none'
      if (subResource !== '') return 'none'
      if (RULED_RESOURCES[group]?.includes(resource)) return operation === 'DELETE' ? 'deletions' : 'canaries'
      if (GENERATED_RESOURCES[group]?.includes(resource)) return 'generated'
      return LEFT_RESOURCES[group]?.includes(resource) ? 'leaving' : 'none'
    default: return path satisfies never
  }
}

/** The answer of one hook. Pure but for the caches that it reads; may throw when those or the rules do. */
export const judge = (hook: HookName, request: AdmissionRequest, ports: HookPorts): Judged => JUDGES[hook](request, ports)

const JUDGES = {
  workloads: judgeWorkload,
  services: (request, { state, agentUsers }) => {
    const { patch, warnings } = keepServing(request, { agentUsers, objects: state.objects })
    return { answer: patched(patch, warnings), findings: [] }
  },
  settings: judgeSettings,
  status: (request) => ({ answer: patched(truthfulStatus(request)), findings: [] }),
  canaries: judgeRules,
  deletions: judgeRules,
  guards: (request, ports) => judged(guardWorkload(request, guardContext(ports))),
  scale: (request, ports) => judged(guardScale(request, guardContext(ports))),
  generated: (request, ports) => judged(guardGenerated(request, guardContext(ports))),
  leaving: (request, { state }) => judged(warnLeaving(request, state.objects)),
  none: () => PASSES,
} satisfies Record<HookName, (request: AdmissionRequest, ports: HookPorts) => Judged>

function judgeWorkload(request: AdmissionRequest, { state, rules, agentUsers, ownNamespace, now }: HookPorts): Judged {
  const { namespace, kind, name, user } = request
  if (namespace === ownNamespace || isExcluded(namespace)) return PASSES
  const { spec: defaults, policyName } = state.defaultsFor(namespace)
  const canary = state.canaryFor(namespace, kind, name)
  const mutation = mutateWorkload(request, {
    // A Canary gates its target by itself.
    canary, gatedNamespace: canary === undefined && isGated(request, state), defaults, policyName, agentUsers, user, now: now(),
    judgeChange: rules.change,
  })
  if (mutation.kind === 'denial') return { answer: denied(mutation.findings), findings: mutation.findings }
  return { answer: audited(patched(mutation.patch, mutation.warnings), mutation.findings), findings: mutation.findings }
}

/** As it is stored or as it is asked for: a label taken off in the very change that it gates would be a way around the gate. */
function isGated({ object, oldObject, namespace }: AdmissionRequest, state: AdmissionState): boolean {
  return [oldObject, object].some((workload) => workload !== undefined && state.isGated({ ...workload, metadata: { ...workload.metadata, namespace } }))
}

function judgeRules(request: AdmissionRequest, { state, rules, agentUsers }: HookPorts): Judged {
  const context = { rules, agentUsers, ruleContext: state.ruleContext }
  return judged(request.resource === 'canaries' ? reviewCanary(request, context) : reviewObject(request, context))
}

/**
 * Signs commands, and refuses unsafe settings before the API server's own ValidatingAdmissionPolicies are asked: those name one fault at
 * a time. What passes is judged again, after everybody's mutations, and warned about then.
 */
function judgeSettings(request: AdmissionRequest, ports: HookPorts): Judged {
  const { answer, findings } = judgeRules(request, ports)
  // Counted where it is said: here only a refusal is.
  return answer.allowed ? { answer: patched([...signCommands(request, ports.agentUsers, ports.now()), ...takeOver(request, ports.agentUsers)]), findings: [] } : { answer, findings }
}

const guardContext = ({ state, agentUsers, now }: HookPorts) => ({ agentUsers, canaryFor: state.canaryFor, objects: state.objects, now })

function judged({ findings, warnings }: Verdict): Judged {
  if (findings.some((finding) => finding.severity === 'deny')) return { answer: audited(denied(findings), findings), findings }
  return { answer: audited(allowed(warnings), findings), findings }
}
