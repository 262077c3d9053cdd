import { test } from 'tap'
import { restartedAt, revisionOf } from '#api/revision.ts'
import { isFlaggers } from '#workload/flagger-primary.ts'
import { renderWorkload } from '#workload/workload.ts'
import { canaryOf, targetOf, templateOf } from './fixtures.ts'

const ROLE = 'canarygate.dev/role'
const render = (role: 'primary' | 'canary', target = targetOf(), options: Parameters<typeof renderWorkload>[6] = {}, template = templateOf('shop:2')) =>
  renderWorkload(canaryOf(), target, role, template, 3, '1abc', options)

test('the pods are what was admitted, and two labels', async (t) => {
  const template = templateOf('shop:2', {
    topologySpreadConstraints: [{ maxSkew: 1, labelSelector: { matchLabels: { app: 'shop' } } }], priorityClassName: 'high',
  })
  const { spec } = render('canary', targetOf(), {}, template)
  t.same(spec.template.spec, template.spec)
  t.same(spec.template.metadata, { labels: { app: 'shop', tier: 'fe', [ROLE]: 'canary', 'canarygate.dev/target': 'shop' }, annotations: { note: 'theirs' } })
})

test('the selector is the user\'s own and the role, expressions too', async (t) => {
  const matchExpressions = [{ key: 'zone', operator: 'Exists' }]
  const { spec, metadata } = render('primary', targetOf({ spec: { selector: { matchLabels: { app: 'shop' }, matchExpressions } } }))
  t.same(spec.selector, { matchLabels: { app: 'shop', [ROLE]: 'primary' }, matchExpressions })
  t.match(metadata, { name: 'shop-primary', namespace: 'prod', labels: { 'canarygate.dev/revision': '1abc', [ROLE]: 'primary', 'app.kubernetes.io/managed-by': 'canarygate' } })
  t.same(metadata.ownerReferences, [{ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', name: 'shop', uid: 'canary-uid', controller: true, blockOwnerDeletion: true }])
})

test('marks by which tools know their own objects stay with the target', async (t) => {
  const { metadata } = render('primary', targetOf({
    metadata: {
      labels: { team: 'a', 'app.kubernetes.io/instance': 'shop', 'app.kubernetes.io/managed-by': 'Helm', 'kustomize.toolkit.fluxcd.io/name': 'apps', 'kapp.k14s.io/app': '1' },
      annotations: {
        'kubectl.kubernetes.io/last-applied-configuration': '{}', 'argocd.argoproj.io/tracking-id': 'x', 'meta.helm.sh/release-name': 'shop',
        'canarygate.dev/replicas': '3', 'deployment.kubernetes.io/revision': '4', 'example.org/owner': 'a',
      },
    },
  }))
  t.same(metadata.annotations, { 'example.org/owner': 'a' })
  t.same(Object.keys(metadata.labels ?? {}).toSorted(), [
    'app.kubernetes.io/instance', 'app.kubernetes.io/managed-by', 'canarygate.dev/revision', ROLE, 'canarygate.dev/target', 'team',
  ])
  t.equal(metadata.labels?.['app.kubernetes.io/managed-by'], 'canarygate')
})

test('how pods are replaced is copied, being paused is not', async (t) => {
  const { spec } = render('primary', targetOf({ spec: { strategy: { type: 'Recreate' }, minReadySeconds: 5, progressDeadlineSeconds: 60, revisionHistoryLimit: 2, paused: true } }))
  t.match(spec, { strategy: { type: 'Recreate' }, minReadySeconds: 5, progressDeadlineSeconds: 60, revisionHistoryLimit: 2, replicas: 3 })
  t.notOk('paused' in spec)
})

test('a primary that an earlier Flagger made is kept with its selector, and its pods get our labels', async (t) => {
  const existing = targetOf({ metadata: { name: 'shop-primary' }, spec: { selector: { matchLabels: { app: 'shop-primary' } } } })
  t.ok(isFlaggers(existing))
  const { spec } = render('primary', targetOf(), { existing })
  t.same(spec.selector, { matchLabels: { app: 'shop-primary' } })
  t.same(spec.template.metadata?.labels, { app: 'shop-primary', tier: 'fe', [ROLE]: 'primary', 'canarygate.dev/target': 'shop' })
  t.notOk(isFlaggers(render('primary')))
  t.notOk(isFlaggers(undefined))
})

test('a restart of this revision is not undone by applying the revision again', async (t) => {
  const existing = render('primary', targetOf(), { restartedAt: '2026-01-01T00:00:00Z' })
  t.equal(restartedAt(existing.spec.template), '2026-01-01T00:00:00Z')
  t.equal(restartedAt(render('primary', targetOf(), { existing }).spec.template), '2026-01-01T00:00:00Z')
  const other = renderWorkload(canaryOf(), targetOf(), 'primary', templateOf('shop:3'), 3, '1def', { existing })
  t.equal(restartedAt(other.spec.template), undefined)
})

test('an autoscaler\'s count is repeated, never reset', async (t) => {
  const existing = { ...render('primary'), spec: { ...render('primary').spec, replicas: 7 } }
  t.equal(renderWorkload(canaryOf(), targetOf(), 'primary', templateOf('shop:2'), undefined, '1abc', { existing }).spec.replicas, 7)
  t.equal(renderWorkload(canaryOf(), targetOf(), 'primary', templateOf('shop:2'), undefined, '1abc').spec.replicas, undefined)
})

test('a DaemonSet has no count: none means no node', async (t) => {
  const target = targetOf({ kind: 'DaemonSet', spec: { updateStrategy: { type: 'RollingUpdate' } } })
  const template = templateOf('shop:2', { nodeSelector: { disk: 'ssd', 'flagger.app/scale-to-zero': 'true' } })
  const running = renderWorkload(canaryOf(), target, 'primary', template, 1, '1abc')
  const idle = renderWorkload(canaryOf(), target, 'canary', template, 0, '1abc')
  t.same(running.spec.template.spec['nodeSelector'], { disk: 'ssd' })
  t.same(idle.spec.template.spec['nodeSelector'], { disk: 'ssd', 'flagger.app/scale-to-zero': 'true' })
  t.same(running.spec['updateStrategy'], { type: 'RollingUpdate' })
  t.notOk('replicas' in running.spec)
})

test('rendering changes no argument', async (t) => {
  const target = targetOf()
  const template = templateOf('shop:2')
  const before = JSON.stringify([target, template])
  renderWorkload(canaryOf(), target, 'canary', template, 3, revisionOf(template), { configNames: { ConfigMap: { a: 'a-primary' } }, restartedAt: 'now' })
  t.equal(JSON.stringify([target, template]), before)
})
