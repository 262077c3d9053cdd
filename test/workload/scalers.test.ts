import { test } from 'tap'
import type { Canary } from '#api/canary.ts'
import type { Role } from '#api/names.ts'
import type { KubeObject } from '#api/objects.ts'
import { isScalerRendered, renderScaler, type ScalerOptions } from '#workload/scalers.ts'
import { canaryOf, objectOf, targetOf } from './fixtures.ts'

type Ref = NonNullable<Canary['spec']['autoscalerRef']>
const render = (autoscalerRef: Ref, scaler: KubeObject, role: Role = 'primary', options: Partial<ScalerOptions> = {}): KubeObject =>
  renderScaler(canaryOf({ autoscalerRef }), autoscalerRef, scaler, role, { target: targetOf(), primary: undefined, isResting: false, ...options })


const hpa = objectOf('autoscaling/v2', 'HorizontalPodAutoscaler', 'shop', {
  spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, minReplicas: 1, maxReplicas: 4, behavior: { scaleDown: { stabilizationWindowSeconds: 60 } }, metrics: [{ type: 'Resource' }] },
}, { labels: { team: 'a' } })

const ofHpa = { kind: 'HorizontalPodAutoscaler', name: 'shop' } as const

test('the primary\'s HPA is the user\'s, for the primary', async (t) => {
  const rendered = render(ofHpa, hpa)
  t.match(rendered, { metadata: { name: 'shop-primary', labels: { team: 'a' } } })
  t.same(rendered['spec'], { ...(hpa['spec'] as object), scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop-primary' } })
  t.match(render({ ...ofHpa, primaryScalerReplicas: { minReplicas: 2, maxReplicas: 6 } }, hpa)['spec'], { minReplicas: 2, maxReplicas: 6 })
})

test('the canary\'s HPA has the user\'s own bounds, and may not wake a canary that rests at 0', async (t) => {
  const rendered = render({ ...ofHpa, primaryScalerReplicas: { minReplicas: 2, maxReplicas: 6 } }, hpa, 'canary')
  t.match(rendered, { metadata: { name: 'shop-canary' }, spec: { scaleTargetRef: { name: 'shop-canary' }, minReplicas: 1, maxReplicas: 4 } })
  const toZero = { ...hpa, spec: { ...(hpa['spec'] as object), minReplicas: 0 } }
  t.match(render(ofHpa, toZero, 'canary')['spec'], { minReplicas: 1 })
  t.match(render(ofHpa, toZero)['spec'], { minReplicas: 0 })
})

test('what the user took out of an HPA is a difference', async (t) => {
  const made = render(ofHpa, hpa)
  const { behavior: _, ...rest } = hpa['spec'] as Readonly<Record<string, unknown>>
  t.ok(isScalerRendered(made, made))
  t.notOk(isScalerRendered(made, render(ofHpa, { ...hpa, spec: rest })))
  t.notOk(isScalerRendered(undefined, made))
})

const scaledObject = objectOf('keda.sh/v1alpha1', 'ScaledObject', 'shop', {
  spec: {
    scaleTargetRef: { name: 'shop' }, minReplicaCount: 1,
    advanced: { horizontalPodAutoscalerConfig: { name: 'shop-hpa', behavior: {} } },
    triggers: [
      { type: 'prometheus', name: 'rps', metadata: { threshold: '5', query: 'sum(rate(requests{workload="shop",svc=~"shop-canary|shop-primary"}[1m]))' } }, { type: 'cron', metadata: { start: '0' } },
    ],
  },
}, { annotations: { 'autoscaling.keda.sh/paused-replicas': '0', theirs: 'yes' } })
const ref = { kind: 'ScaledObject', name: 'shop' } as const

test('a ScaledObject\'s queries ask about the primary, and it is never born paused', async (t) => {
  const rendered = render(ref, scaledObject)
  t.same(rendered.metadata.annotations, { theirs: 'yes' })
  t.match(rendered['spec'], {
    scaleTargetRef: { name: 'shop-primary' }, advanced: { horizontalPodAutoscalerConfig: { name: 'shop-hpa-primary', behavior: {} } },
    triggers: [{ metadata: { threshold: '5', query: 'sum(rate(requests{workload="shop-primary",svc=~"shop-primary|shop-primary"}[1m]))' } }, { metadata: { start: '0' } }],
  })
})

test('the canary\'s is paused while it rests, and not otherwise', async (t) => {
  t.match(render(ref, scaledObject, 'canary', { isResting: true }), { metadata: { name: 'shop-canary', annotations: { 'autoscaling.keda.sh/paused-replicas': '0' } } })
  t.same(render(ref, scaledObject, 'canary').metadata.annotations, { theirs: 'yes' })
  t.notOk(isScalerRendered(render(ref, scaledObject, 'canary', { isResting: true }), render(ref, scaledObject, 'canary')))
})

test('a label that pods of both roles keep stays in a query; one that Flagger renamed is renamed', async (t) => {
  const query = 'sum(rate(requests{app="shop",pod=~"shop-.*"}[1m]))'
  const asking = { ...scaledObject, spec: { ...(scaledObject['spec'] as object), triggers: [{ type: 'prometheus', metadata: { query } }] } }
  const queryOf = (object: KubeObject): unknown => (object['spec'] as { readonly triggers: readonly { readonly metadata: { readonly query: string } }[] }).triggers[0]?.metadata.query
  t.equal(queryOf(render(ref, asking)), 'sum(rate(requests{app="shop",pod=~"shop-primary-.*"}[1m]))')
  t.equal(queryOf(render(ref, asking, 'canary')), 'sum(rate(requests{app="shop",pod=~"shop-canary-.*"}[1m]))')
  const primary = targetOf({ metadata: { name: 'shop-primary' }, spec: { selector: { matchLabels: { app: 'shop-primary' } } } })
  t.equal(queryOf(render(ref, asking, 'primary', { primary })), 'sum(rate(requests{app="shop-primary",pod=~"shop-primary-.*"}[1m]))')
})

test('given queries win, by the trigger\'s name', async (t) => {
  const rendered = render({ ...ref, primaryScalerQueries: { rps: 'up' }, primaryScalerReplicas: { maxReplicas: 9 } }, scaledObject)
  t.match(rendered['spec'], { maxReplicaCount: 9, minReplicaCount: 1, triggers: [{ metadata: { query: 'up' } }, { metadata: { start: '0' } }] })
})
