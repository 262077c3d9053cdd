import type { Canary, CanarySpec } from '#api/canary.ts'
import type { KubeObject, ObjectReader, Workload } from '#api/objects.ts'
import { FLAGGER_ROUTERS } from '#policy/flagger-routers.ts'
import type { RuleContext } from '#policy/rule.ts'

type Loose = Readonly<Record<string, unknown>>

/** One row of a rule's table: what differs from a Canary without fault. A value of undefined removes the field. */
export type Case = {
  readonly name: string
  readonly metadata?: Loose
  readonly spec?: Loose
  readonly analysis?: Loose
  readonly service?: Loose
  readonly context?: Partial<RuleContext>
  readonly fields?: readonly string[]
  readonly severity?: string
}
export type Cases = { readonly valid: readonly Case[]; readonly invalid: readonly Case[] }

/** Nothing can be said against it, not even as a warning. */
const ANALYSIS: Loose = {
  interval: '1m', threshold: 5, stepWeight: 10, maxWeight: 50,
  metrics: [
    { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } },
    { name: 'request-duration', interval: '1m', thresholdRange: { max: 500 } },
  ],
  alerts: [{ name: 'team', severity: 'error', providerRef: { name: 'team' } }],
}
const SERVICE: Loose = { port: 80 }

const without = (value: Loose): Loose => Object.fromEntries(Object.entries(value).filter(([, child]) => child !== undefined))

export function canaryOf({ metadata, spec, analysis, service }: Omit<Case, 'name'> = {}): Canary {
  return {
    apiVersion: 'flagger.app/v1beta1',
    kind: 'Canary',
    metadata: { name: 'cart', namespace: 'shop', ...metadata },
    spec: without({
      provider: 'traefik',
      targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' },
      service: without({ ...SERVICE, ...service }),
      analysis: without({ ...ANALYSIS, ...analysis }),
      revertOnDeletion: true,
      ...spec,
    }) as CanarySpec,
  }
}

export const readerOf = (objects: readonly KubeObject[]): ObjectReader => ({
  get: (ref) => objects.find(({ kind, metadata }) => kind === ref.kind && metadata.name === ref.name && metadata.namespace === ref.namespace),
  list: (_, kind, namespace) => objects.filter((object) => object.kind === kind && object.metadata.namespace === namespace),
})

export const contextOf = (more: Partial<RuleContext> = {}): RuleContext => ({ defaultProvider: 'kubernetes', providers: FLAGGER_ROUTERS, ...more })

export const objectOf = (apiVersion: string, kind: string, name: string, rest: Loose = {}, namespace = 'shop'): KubeObject =>
  ({ apiVersion, kind, metadata: { name, namespace }, ...rest })

export const workloadOf = (name: string, spec: Loose = {}, kind = 'Deployment', annotations?: Record<string, string>): Workload => ({
  apiVersion: 'apps/v1', kind, metadata: { name, namespace: 'shop', ...(annotations ? { annotations } : {}) },
  spec: {
    replicas: 10, selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'app', image: `${name}:1` }] } }, ...spec,
  },
} as Workload)

/** A cluster that holds the target and these objects. */
export const clusterOf = (objects: readonly KubeObject[] = [], target: Workload | undefined = workloadOf('cart'), canaries: readonly Canary[] = []):
NonNullable<RuleContext['cluster']> => ({ objects: readerOf([...objects, ...(target ? [target] : [])]), target, canaries })

export const TEAM_ALERTS = objectOf('flagger.app/v1beta1', 'AlertProvider', 'team', { spec: { type: 'slack', secretRef: { name: 'team' } } })
