import { stringify } from 'yaml'
import type { TSchema } from 'typebox'
import { AlertProviderSpec } from '#api/alert-provider.ts'
import { CanarySpec, CanaryStatus } from '#api/canary.ts'
import { MetricTemplateSpec } from '#api/metric-template.ts'
import { FLAGGER_GROUP, GATE_GROUP } from '#api/names.ts'
import { CanaryPolicySpec, ClusterCanaryPolicySpec } from '#api/policies.ts'
import { structural } from './structural.ts'
import { writeOrCheck, type GeneratedFile } from './files.ts'

/**
 * Writes `manifests/crds/*.yaml` from the schemas in `src/api`. `--check` writes nothing and exits 1 on a difference.
 *
 * Left out on purpose: Flagger's `oneOf` over {interval, threshold, iterations | stepWeight | stepWeights}, and its `oneOf` over
 * address and secretRef. An API server answers a broken `oneOf` with "must validate one and only one schema", and `spec.gate.steps`
 * is one more way to say the steps; the policy rules refuse the same objects with the fields named and all faults at once.
 */

type Column = { readonly name: string; readonly type: string; readonly jsonPath: string; readonly priority?: number; readonly format?: string }

export type Resource = {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly scope: 'Namespaced' | 'Cluster'
  readonly categories: readonly string[]
  readonly columns: readonly Column[]
  readonly spec: TSchema
  readonly status?: TSchema
}

const wide = (name: string, type: string, jsonPath: string): Column => ({ name, type, jsonPath, priority: 1 })

export const RESOURCES: readonly Resource[] = [
  {
    group: FLAGGER_GROUP, version: 'v1beta1', kind: 'Canary', plural: 'canaries', scope: 'Namespaced', categories: ['all'],
    // Scripts grep the second word of `kubectl get canary`: these columns, in this order, are Flagger's.
    columns: [
      { name: 'Status', type: 'string', jsonPath: '.status.phase' },
      { name: 'Weight', type: 'string', jsonPath: '.status.canaryWeight' },
      wide('Suspended', 'boolean', '.spec.suspend'),
      wide('FailedChecks', 'string', '.status.failedChecks'),
      wide('Interval', 'string', '.spec.analysis.interval'),
      wide('Mirror', 'boolean', '.spec.analysis.mirror'),
      wide('StepWeight', 'string', '.spec.analysis.stepWeight'),
      wide('StepWeights', 'string', '.spec.analysis.stepWeights'),
      wide('MaxWeight', 'string', '.spec.analysis.maxWeight'),
      { name: 'LastTransitionTime', type: 'string', jsonPath: '.status.lastTransitionTime' },
    ],
    spec: CanarySpec, status: CanaryStatus,
  },
  {
    group: FLAGGER_GROUP, version: 'v1beta1', kind: 'MetricTemplate', plural: 'metrictemplates', scope: 'Namespaced', categories: ['all'],
    columns: [{ name: 'Provider', type: 'string', jsonPath: '.spec.provider.type' }],
    spec: MetricTemplateSpec,
  },
  {
    group: FLAGGER_GROUP, version: 'v1beta1', kind: 'AlertProvider', plural: 'alertproviders', scope: 'Namespaced', categories: ['all'],
    columns: [{ name: 'Type', type: 'string', jsonPath: '.spec.type' }],
    spec: AlertProviderSpec,
  },
  {
    group: GATE_GROUP, version: 'v1alpha1', kind: 'ClusterCanaryPolicy', plural: 'clustercanarypolicies', scope: 'Cluster', categories: [],
    columns: [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }],
    spec: ClusterCanaryPolicySpec,
  },
  {
    group: GATE_GROUP, version: 'v1alpha1', kind: 'CanaryPolicy', plural: 'canarypolicies', scope: 'Namespaced', categories: [],
    columns: [{ name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }],
    spec: CanaryPolicySpec,
  },
]

export function customResourceDefinition(resource: Resource): Record<string, unknown> {
  const { group, version, kind, plural, scope, categories, columns, spec, status } = resource
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, annotations: { 'helm.sh/resource-policy': 'keep' } },
    spec: {
      group,
      scope,
      names: { kind, listKind: `${kind}List`, plural, singular: kind.toLowerCase(), ...(categories.length > 0 ? { categories } : {}) },
      versions: [{
        name: version, served: true, storage: true,
        subresources: { status: {} },
        additionalPrinterColumns: columns,
        schema: {
          openAPIV3Schema: {
            type: 'object',
            required: ['spec'],
            properties: {
              apiVersion: { type: 'string' },
              kind: { type: 'string' },
              metadata: { type: 'object' },
              spec: structural(spec, `${kind}.spec`),
              ...(status ? { status: structural(status, `${kind}.status`) } : {}),
            },
          },
        },
      }],
    },
  }
}

export const crdFiles = (): readonly GeneratedFile[] => RESOURCES.map((resource) => ({
  path: `manifests/crds/${resource.plural}.${resource.group}.yaml`,
  text: '# Generated from src/api by scripts/generate/crds.ts; edits are lost.\n'
    + stringify(customResourceDefinition(resource), { lineWidth: 140, aliasDuplicateObjects: false }),
}))

if (import.meta.main) process.exitCode = writeOrCheck(crdFiles())
