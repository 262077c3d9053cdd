import { test } from 'tap'
import { renderPrimaryScaler } from '#workload/scalers.ts'
import { canaryOf, objectOf } from './fixtures.ts'

const hpa = objectOf('autoscaling/v2', 'HorizontalPodAutoscaler', 'shop', {
  spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop' }, minReplicas: 1, maxReplicas: 4, behavior: { scaleDown: {} }, metrics: [{ type: 'Resource' }] },
}, { labels: { team: 'a' } })

test('the primary\'s HPA is the user\'s, for the primary', async (t) => {
  const autoscalerRef = { kind: 'HorizontalPodAutoscaler', name: 'shop' } as const
  const rendered = renderPrimaryScaler(canaryOf({ autoscalerRef }), hpa)
  t.match(rendered, { metadata: { name: 'shop-primary', labels: { team: 'a' } } })
  t.same(rendered?.['spec'], { ...(hpa['spec'] as object), scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop-primary' } })
  const bounded = renderPrimaryScaler(canaryOf({ autoscalerRef: { ...autoscalerRef, primaryScalerReplicas: { minReplicas: 2, maxReplicas: 6 } } }), hpa)
  t.match(bounded?.['spec'], { minReplicas: 2, maxReplicas: 6 })
  t.equal(renderPrimaryScaler(canaryOf(), hpa), undefined)
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
  const rendered = renderPrimaryScaler(canaryOf({ autoscalerRef: ref }), scaledObject)
  t.same(rendered?.metadata.annotations, { theirs: 'yes' })
  t.match(rendered?.['spec'], {
    scaleTargetRef: { name: 'shop-primary' }, advanced: { horizontalPodAutoscalerConfig: { name: 'shop-hpa-primary', behavior: {} } },
    triggers: [{ metadata: { threshold: '5', query: 'sum(rate(requests{workload="shop-primary",svc=~"shop-primary|shop-primary"}[1m]))' } }, { metadata: { start: '0' } }],
  })
})

test('given queries win, by the trigger\'s name', async (t) => {
  const rendered = renderPrimaryScaler(canaryOf({ autoscalerRef: { ...ref, primaryScalerQueries: { rps: 'up' }, primaryScalerReplicas: { maxReplicas: 9 } } }), scaledObject)
  t.match(rendered?.['spec'], { maxReplicaCount: 9, minReplicaCount: 1, triggers: [{ metadata: { query: 'up' } }, { metadata: { start: '0' } }] })
})
