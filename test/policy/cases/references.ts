import { canaryOf, clusterOf, objectOf, workloadOf, type Cases } from '../canaries.ts'

const ref = (name: string, kind = 'Deployment') => ({ targetRef: { apiVersion: 'apps/v1', kind, name } })
const hpa = (name: string, scaled: string) => objectOf('autoscaling/v2', 'HorizontalPodAutoscaler', name, { spec: { scaleTargetRef: { kind: 'Deployment', name: scaled } } })
const scaler = { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'cart' }
const CORE = { apiVersion: 'v1', kind: 'Service', name: 'cart' }
const other = (spec: object, service: Record<string, unknown> = {}) => canaryOf({ metadata: { name: 'other' }, spec: { ...spec }, service })
const stored = (phase: string, more: Parameters<typeof canaryOf>[0] = {}) => ({ ...canaryOf(more), status: { phase } }) as ReturnType<typeof canaryOf>

export const references: Readonly<Record<string, Cases>> = {
  'target-exists': {
    valid: [
      { name: 'it does', context: { cluster: clusterOf() } }, { name: 'offline nobody knows' },
      { name: 'nobody watches it', context: { cluster: { ...clusterOf(), target: undefined, knows: () => false } } },
    ],
    invalid: [{ name: 'it does not', context: { cluster: { ...clusterOf(), target: undefined } }, fields: ['spec.targetRef.name'] }],
  },
  'target-selector': {
    valid: [
      { name: 'a selector of its own', context: { cluster: clusterOf([workloadOf('other')]) } },
      { name: 'its own primary has the same', context: { cluster: clusterOf([workloadOf('cart-primary', { selector: { matchLabels: { app: 'cart' } } })]) } },
    ],
    invalid: [
      { name: 'the selector of another', context: { cluster: clusterOf([workloadOf('other', { selector: { matchLabels: { app: 'cart' } } })]) }, fields: ['spec.targetRef.name'] },
      { name: 'a DaemonSet has it', context: { cluster: clusterOf([workloadOf('other', { selector: { matchLabels: { app: 'cart' } } }, 'DaemonSet')]) }, fields: ['spec.targetRef.name'] },
      { name: 'a manifest without one', context: { cluster: clusterOf([], workloadOf('cart', { selector: undefined })) }, fields: ['spec.targetRef.name'] },
      { name: 'every pod of the namespace', context: { cluster: clusterOf([], workloadOf('cart', { selector: {} })) }, fields: ['spec.targetRef.name'] },
    ],
  },
  'service-target': {
    valid: [
      { name: 'behind a router', spec: { targetRef: CORE } },
      { name: 'Flagger looks at its kind alone', spec: { targetRef: { ...CORE, apiVersion: 'core/v1' } } },
      { name: 'an A/B test behind a router', spec: { targetRef: CORE }, analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5, match: [{ headers: { 'x-user': { exact: 'insider' } } }] } },
      { name: 'the counters of a proxy', spec: { targetRef: CORE, gate: { scrape: { from: 'proxy' }, judge: { mode: 'enforce' } } } },
      { name: 'a Deployment may be split by its pods', spec: { provider: 'kubernetes', autoscalerRef: scaler }, service: { portDiscovery: true } },
    ],
    invalid: [
      { name: 'no router', spec: { targetRef: CORE, provider: 'kubernetes' }, fields: ['spec.provider'], severity: 'deny' },
      { name: 'no router by default', spec: { targetRef: CORE, provider: undefined }, fields: ['spec.targetRef.kind'] },
      { name: 'an A/B test without a router', spec: { targetRef: CORE, provider: 'kubernetes' }, analysis: { stepWeight: undefined, maxWeight: undefined, iterations: 5, match: [{ headers: { 'x-user': { exact: 'insider' } } }] }, fields: ['spec.provider'] },
      { name: 'nothing to scale', spec: { targetRef: CORE, autoscalerRef: scaler }, fields: ['spec.autoscalerRef'], severity: 'warn' },
      { name: 'no pods with ports', spec: { targetRef: CORE }, service: { portDiscovery: true }, fields: ['spec.service.portDiscovery'], severity: 'warn' },
      { name: 'no pods to count', spec: { targetRef: CORE, gate: { scrape: { port: 8080 } } }, fields: ['spec.gate.scrape'], severity: 'warn' },
      { name: 'nothing for the judge', spec: { targetRef: CORE, gate: { judge: { mode: 'enforce' } } }, fields: ['spec.gate.judge.mode'], severity: 'warn' },
    ],
  },
  'target-update-strategy': {
    valid: [{ name: 'the default', context: { cluster: clusterOf() } }, { name: 'a rolling DaemonSet', spec: ref('cart', 'DaemonSet'), context: { cluster: clusterOf([], workloadOf('cart', { updateStrategy: { type: 'RollingUpdate' } }, 'DaemonSet')) } }],
    invalid: [
      { name: 'a DaemonSet that waits', spec: ref('cart', 'DaemonSet'), context: { cluster: clusterOf([], workloadOf('cart', { updateStrategy: { type: 'OnDelete' } }, 'DaemonSet')) }, fields: ['spec.targetRef.name'] },
      { name: 'a Deployment that recreates', context: { cluster: clusterOf([], workloadOf('cart', { strategy: { type: 'Recreate' } })) }, fields: ['spec.targetRef.name'], severity: 'warn' },
    ],
  },
  'target-name': {
    valid: [{ name: 'a short name' }, { name: '55 characters', spec: ref('a'.repeat(55)) }],
    invalid: [
      { name: 'a primary', spec: ref('cart-primary'), fields: ['spec.targetRef.name'] },
      { name: 'a canary', spec: ref('cart-canary'), fields: ['spec.targetRef.name'], severity: 'warn' },
      { name: '56 characters', spec: ref('a'.repeat(56)), fields: ['spec.targetRef.name'] },
      { name: 'a Service with capitals', service: { name: 'Cart' }, fields: ['spec.service.name'] },
    ],
  },
  'duplicate-target': {
    valid: [
      { name: 'another target', context: { cluster: clusterOf([], workloadOf('cart'), [other(ref('other'))]) } },
      { name: 'itself', context: { cluster: clusterOf([], workloadOf('cart'), [canaryOf()]) } },
      { name: 'another namespace', context: { cluster: clusterOf([], workloadOf('cart'), [canaryOf({ metadata: { name: 'other', namespace: 'test' } })]) } },
      { name: 'one that is going', context: { cluster: clusterOf([], workloadOf('cart'), [canaryOf({ metadata: { name: 'other', deletionTimestamp: '2026-01-01T00:00:00Z' } })]) } },
    ],
    invalid: [{ name: 'the same target', context: { cluster: clusterOf([], workloadOf('cart'), [other({})]) }, fields: ['spec.targetRef.name'] }],
  },
  'duplicate-service': {
    valid: [{ name: 'another Service', context: { cluster: clusterOf([], workloadOf('cart'), [other(ref('other'))]) } }],
    invalid: [{ name: 'the same Service', context: { cluster: clusterOf([], workloadOf('cart'), [other(ref('other'), { name: 'cart', port: 80 })]) }, fields: ['spec.service.name'] }],
  },
  'autoscaler-target': {
    valid: [{ name: 'it scales the target', spec: { autoscalerRef: scaler }, context: { cluster: clusterOf([hpa('cart', 'cart')]) } }, { name: 'none' }],
    invalid: [
      { name: 'it scales something else', spec: { autoscalerRef: scaler }, context: { cluster: clusterOf([hpa('cart', 'other')]) }, fields: ['spec.autoscalerRef'] },
      { name: 'it is not there', spec: { autoscalerRef: scaler }, context: { cluster: clusterOf() }, fields: ['spec.autoscalerRef'] },
    ],
  },
  'foreign-autoscaler': {
    valid: [{ name: 'it is named', spec: { autoscalerRef: scaler }, context: { cluster: clusterOf([hpa('cart', 'cart')]) } }, { name: 'it scales another', context: { cluster: clusterOf([hpa('x', 'other')]) } }],
    invalid: [{ name: 'it is not named', context: { cluster: clusterOf([hpa('cart', 'cart')]) }, fields: ['spec.autoscalerRef'] }],
  },
  'autoscaler-replicas': {
    valid: [{ name: 'two to six', spec: { autoscalerRef: { ...scaler, primaryScalerReplicas: { minReplicas: 2, maxReplicas: 6 } } } }],
    invalid: [{ name: 'six to two', spec: { autoscalerRef: { ...scaler, primaryScalerReplicas: { minReplicas: 6, maxReplicas: 2 } } }, fields: ['spec.autoscalerRef.primaryScalerReplicas.minReplicas'] }],
  },
  'immutable-names': {
    valid: [
      { name: 'nothing changed', context: { old: stored('Initialized') } },
      { name: 'before it was initialised', spec: ref('other'), context: { old: stored('Initializing') } },
      { name: 'the default said aloud', service: { name: 'cart' }, context: { old: stored('Succeeded') } },
    ],
    invalid: [
      { name: 'another target', spec: ref('other'), context: { old: stored('Succeeded') }, fields: ['spec.targetRef'] },
      { name: 'another Service', service: { name: 'shop' }, context: { old: stored('Initialized') }, fields: ['spec.service.name'] },
    ],
  },
  'cross-namespace': {
    valid: [
      { name: 'allowed', analysis: { alerts: [{ name: 'team', severity: 'error', providerRef: { name: 'team', namespace: 'platform' } }] } },
      { name: 'its own by name', analysis: { alerts: [{ name: 'team', severity: 'error', providerRef: { name: 'team', namespace: 'shop' } }] }, context: { reach: { metricHosts: [], namespaces: [{ policy: 'base', names: [] }] } } },
    ],
    invalid: [
      { name: 'an AlertProvider elsewhere', analysis: { alerts: [{ name: 'team', severity: 'error', providerRef: { name: 'team', namespace: 'platform' } }] }, context: { reach: { metricHosts: [], namespaces: [{ policy: 'base', names: ['other'] }] } }, fields: ['spec.analysis.alerts[0].providerRef.namespace'] },
      { name: 'a MetricTemplate elsewhere', analysis: { metrics: [{ name: 'b', interval: '1m', thresholdRange: { max: 1 }, templateRef: { name: 'b', namespace: 'platform' } }] }, context: { reach: { metricHosts: [], namespaces: [{ policy: 'base', names: ['other'] }] } }, fields: ['spec.analysis.metrics[0].templateRef.namespace'] },
    ],
  },
  'skip-analysis': {
    valid: [{ name: 'off', spec: { skipAnalysis: false } }],
    invalid: [{ name: 'from the beginning', spec: { skipAnalysis: true }, fields: ['spec.skipAnalysis'] }, { name: 'later', spec: { skipAnalysis: true }, context: { old: stored('Succeeded') }, fields: ['spec.skipAnalysis'] }],
  },
  'revert-on-deletion': {
    valid: [{ name: 'on' }],
    invalid: [{ name: 'off', spec: { revertOnDeletion: undefined }, fields: ['spec.revertOnDeletion'], severity: 'audit' }],
  },
}
