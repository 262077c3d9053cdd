import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { t, test } from 'tap'
import { LABEL_ROLE, SCALE_TO_ZERO } from '#api/names.ts'
import type { KubeObject, PodTemplate, Workload } from '#api/objects.ts'
import { applyYaml, beginBesideOthers, canary, client, deployment, deployShop, events, getCanary, kubectl, namespace, reaches, run, shop, skip, waitFor } from '../scene.ts'

/** What a target brings along: configs, autoscalers, other kinds of workloads. Side by side, as each waits for pods most of the time. */
await beginBesideOthers(t)
t.jobs = 3

const ANALYSIS = { interval: '2s', threshold: 2, stepWeights: [50] }
/** An HPA controller looks every 15 s. */
const HPA_SECONDS = 45

const get = async <T extends KubeObject>(apiVersion: string, kind: string, ns: string, name: string): Promise<T | undefined> =>
  (await client()).get<T>({ apiVersion, kind, namespace: ns, name })
const isGone = (ns: string, kind: string, name: string) => async (): Promise<boolean> => (await run(['-n', ns, 'get', kind, name])).code !== 0

/** The shop with what its template refers to. */
function configured(ns: string): readonly KubeObject[] {
  const [deployment, ...others] = shop(ns, { host: `${ns}.example.org` })
  const [container] = deployment.spec.template.spec.containers
  const spec = {
    ...deployment.spec.template.spec,
    containers: [{ ...container, envFrom: [{ configMapRef: { name: 'settings' } }], volumeMounts: [{ name: 'keys', mountPath: '/keys' }] }],
    volumes: [{ name: 'keys', projected: { sources: [{ secret: { name: 'keys' } }] } }],
  }
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings', namespace: ns }, data: { DELAY_MS: '0' } },
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'keys', namespace: ns }, stringData: { key: 'one' } } as KubeObject,
    { ...deployment, spec: { ...deployment.spec, template: { ...deployment.spec.template, spec } } } as KubeObject, ...others,
  ]
}

type Configured = { readonly containers: readonly [{ readonly envFrom: readonly [{ readonly configMapRef: { readonly name: string } }] }]; readonly volumes: readonly [{ readonly projected: { readonly sources: readonly [{ readonly secret: { readonly name: string } }] } }] }
const specOf = (template: PodTemplate | undefined): Configured => template?.spec as unknown as Configured

/** What the pods of a workload read. */
async function contentOf(ns: string, name: string) {
  const spec = specOf((await deployment(ns, name))?.spec.template)
  const settings = await get('v1', 'ConfigMap', ns, spec.containers[0].envFrom[0].configMapRef.name)
  const keys = await get('v1', 'Secret', ns, spec.volumes[0].projected.sources[0].secret.name)
  const key = (keys?.['data'] as { readonly key?: string } | undefined)?.key ?? ''
  return { delay: (settings?.['data'] as { readonly DELAY_MS?: string } | undefined)?.DELAY_MS, key: Buffer.from(key, 'base64').toString(), immutable: [settings?.['immutable'], keys?.['immutable']] }
}

const merge = (ns: string, kind: string, name: string, patch: object): Promise<string> => kubectl('-n', ns, 'patch', kind, name, '--type=merge', '-p', JSON.stringify(patch))
const grantSecrets = (ns: string): Promise<string> =>
  kubectl('-n', ns, 'create', 'rolebinding', 'canarygate-configs', '--clusterrole=canarygate-secret-tracker', '--serviceaccount=canarygate:canarygate-agent')

/** Waits for a phase that comes after now, since the last run may have ended in the same one. */
async function runsTo(ns: string, phase: string, seconds: number, act: () => Promise<unknown>): Promise<void> {
  await act()
  await reaches(ns, ['Progressing', 'Promoting', 'Finalising'], 30)
  await reaches(ns, [phase], seconds)
}

test('a ConfigMap and a Secret are released like an image, and a bad one is rolled back', { skip, buffered: true }, async (t) => {
  const ns = await namespace(t, { gated: false })
  await grantSecrets(ns)
  await applyYaml(...configured(ns))
  await waitFor('the shop', async () => (await deployment(ns, 'cart'))?.status?.readyReplicas === 1, 60)
  await applyYaml(canary(ns, { provider: 'traefik', progressDeadlineSeconds: 12, analysis: ANALYSIS }))
  await reaches(ns, ['Initialized'], 60)
  t.same(await contentOf(ns, 'cart-primary'), { delay: '0', key: 'one', immutable: [true, true] })
  t.same(Object.keys((await getCanary(ns))?.status?.trackedConfigs ?? {}).toSorted(), ['configmap/settings', 'secret/keys'])

  await runsTo(ns, 'Succeeded', 60, () => merge(ns, 'configmap', 'settings', { data: { DELAY_MS: '3' } }))
  t.same(await contentOf(ns, 'cart-primary'), { delay: '3', key: 'one', immutable: [true, true] })
  await runsTo(ns, 'Succeeded', 60, () => merge(ns, 'secret', 'keys', { stringData: { key: 'two' } }))
  t.same(await contentOf(ns, 'cart-primary'), { delay: '3', key: 'two', immutable: [true, true] })

  const before = await deployment(ns, 'cart-primary')
  await runsTo(ns, 'Failed', 90, () => merge(ns, 'configmap', 'settings', { data: { DELAY_MS: '3', START_DELAY_MS: '600000' } }))
  t.same((await deployment(ns, 'cart-primary'))?.spec, before?.spec, 'the primary has not been touched')
  const status = await run(['-n', ns, 'rollout', 'status', 'deployment/cart', '--timeout=10s'])
  t.equal(status.code, 1, status.stderr)
  const copies = (await kubectl('-n', ns, 'get', 'configmap,secret', '-l', 'app.kubernetes.io/managed-by=canarygate', '-o', 'name')).split('\n')
  t.equal(copies.length, 4, `what serves, served before, and was refused: ${copies.join(', ')}`)
})

test('an HPA scales the primary, its edits are carried over, and it does not wake a canary at rest', { skip, buffered: true }, async (t) => {
  const ns = await namespace(t, { gated: false })
  // Nobody has granted this namespace's Secrets.
  const [shopDeployment, ...others] = shop(ns, { host: `${ns}.example.org` })
  const [container] = shopDeployment.spec.template.spec.containers
  const spec = { ...shopDeployment.spec.template.spec, containers: [{ ...container, envFrom: [{ secretRef: { name: 'keys', optional: true } }] }] }
  await applyYaml({ ...shopDeployment, spec: { ...shopDeployment.spec, template: { ...shopDeployment.spec.template, spec } } }, ...others)
  await applyYaml({
    apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', metadata: { name: 'cart', namespace: ns },
    spec: { scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'cart' }, minReplicas: 1, maxReplicas: 3, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 99 } } }] },
  })
  await waitFor('the shop', async () => (await deployment(ns, 'cart'))?.status?.readyReplicas === 1, 60)
  await applyYaml(canary(ns, { provider: 'traefik', analysis: ANALYSIS, autoscalerRef: { apiVersion: 'autoscaling/v2', kind: 'HorizontalPodAutoscaler', name: 'cart' } }))
  await reaches(ns, ['Initialized'], 60)
  const hpa = (name: string) => get('autoscaling/v2', 'HorizontalPodAutoscaler', ns, name)
  await waitFor('the primary\'s HPA', async () => (await hpa('cart-primary')) !== undefined, 10)
  t.match((await hpa('cart-primary'))?.['spec'], { scaleTargetRef: { name: 'cart-primary' }, minReplicas: 1, maxReplicas: 3 })
  t.ok((await events(ns)).some(({ reason, message }) => reason === 'CanaryConfigsUntracked' && message.includes('canarygate-secret-tracker')), 'Secrets that nobody granted are told')

  await merge(ns, 'hpa', 'cart', { spec: { minReplicas: 2, metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }] } })
  await waitFor('the edit', async () => ((await hpa('cart-primary'))?.['spec'] as { readonly minReplicas?: number } | undefined)?.minReplicas === 2, 10)
  t.match((await hpa('cart-primary'))?.['spec'], { metrics: [{ resource: { target: { averageUtilization: 50 } } }] })
  t.equal((await getCanary(ns))?.status?.phase, 'Initialized', 'without an analysis')
  await waitFor('the HPA to scale the primary', async () => (await deployment(ns, 'cart-primary'))?.spec.replicas === 2, HPA_SECONDS)
  t.equal((await deployment(ns, 'cart'))?.spec.replicas, 0)

  await runsTo(ns, 'Succeeded', 90, () => kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'))
  await waitFor('the canary\'s pods to go', async () => (await deployment(ns, 'cart-canary'))?.spec.replicas === 0, 20)
  await wait(20_000) // the HPA controller has looked since
  t.match(await deployment(ns, 'cart-primary'), { spec: { replicas: 2, template: { spec: { containers: [{ image: 'shop:1.1' }] } } } })
  t.equal((await deployment(ns, 'cart-canary'))?.spec.replicas, 0, 'the canary rests')
  t.equal((await deployment(ns, 'cart'))?.spec.replicas, 0)
})

/** KEDA's own definition, out of its module. Nobody scales by it here: the API server alone says whether what we write is valid. */
async function scaledObjectsDefined(): Promise<void> {
  const cwd = new URL('tools/keda', import.meta.url).pathname
  const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', 'github.com/kedacore/keda/v2'], { cwd, timeout: 120_000 })
  const { Dir } = JSON.parse(stdout) as { readonly Dir: string }
  await kubectl('apply', '--server-side', '-f', join(Dir, 'config/crd/bases/keda.sh_scaledobjects.yaml'))
  await kubectl('wait', '--for=condition=established', 'crd/scaledobjects.keda.sh', '--timeout=30s')
}

test('a ScaledObject: what is written for the roles and upon the owner\'s is valid for KEDA\'s own definition, from adoption to deletion', { skip, buffered: true }, async (t) => {
  await scaledObjectsDefined()
  const ns = await namespace(t, { gated: false })
  await deployShop(ns, { host: `${ns}.example.org` })
  const query = `sum(rate(http_requests_total{deployment="cart",app="cart"}[1m]))`
  await applyYaml({
    apiVersion: 'keda.sh/v1alpha1', kind: 'ScaledObject', metadata: { name: 'cart-so', namespace: ns },
    spec: {
      scaleTargetRef: { name: 'cart' }, minReplicaCount: 1, maxReplicaCount: 3, pollingInterval: 10, cooldownPeriod: 20, fallback: { failureThreshold: 3, replicas: 2 },
      advanced: { horizontalPodAutoscalerConfig: { name: 'cart-hpa', behavior: { scaleDown: { stabilizationWindowSeconds: 60 } } } },
      triggers: [{ type: 'prometheus', name: 'rps', metadata: { serverAddress: 'http://prometheus.example.org', threshold: '10', query } }],
    },
  })
  const scaled = (name: string) => get('keda.sh/v1alpha1', 'ScaledObject', ns, name)
  const pausedAt = async (name: string) => (await scaled(name))?.metadata.annotations?.['autoscaling.keda.sh/paused-replicas']
  await applyYaml(canary(ns, { provider: 'traefik', analysis: ANALYSIS, gate: { atMaxWeight: 'wait' }, autoscalerRef: { apiVersion: 'keda.sh/v1alpha1', kind: 'ScaledObject', name: 'cart-so', primaryScalerReplicas: { minReplicas: 2 } } }))
  await reaches(ns, ['Initialized'], 60)
  await waitFor('the primary\'s', async () => (await scaled('cart-so-primary')) !== undefined, 60)
  t.match((await scaled('cart-so-primary'))?.['spec'], {
    scaleTargetRef: { name: 'cart-primary' }, minReplicaCount: 2, maxReplicaCount: 3, advanced: { horizontalPodAutoscalerConfig: { name: 'cart-hpa-primary' } },
    triggers: [{ metadata: { query: query.replace('deployment="cart"', 'deployment="cart-primary"') } }],
  })
  await waitFor('the owner\'s to be paused', async () => (await pausedAt('cart-so')) === '0', 20)
  t.equal(await pausedAt('cart-so-canary'), '0', 'and so is the canary\'s')
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await reaches(ns, ['WaitingPromotion'], 60)
  t.equal(await pausedAt('cart-so-canary'), undefined, 'in the run it decides how many')
  t.equal(await pausedAt('cart-so'), '0')
  await kubectl('-n', ns, 'annotate', 'canary', 'cart', 'canarygate.dev/promote=good')
  await reaches(ns, ['Succeeded'], 60)
  await waitFor('the canary\'s to be paused again', async () => (await pausedAt('cart-so-canary')) === '0', 20)
  await kubectl('-n', ns, 'delete', 'canary', 'cart', '--timeout=60s')
  t.equal(await pausedAt('cart-so'), undefined, 'the owner\'s scales again')
  t.notOk((await events(ns)).some(({ reason }) => reason === 'CanaryNotReconciled'), 'nothing was refused')
})

const daemonSet = (ns: string, name: string): Promise<Workload | undefined> => get<Workload>('apps/v1', 'DaemonSet', ns, name)
const numberOf = (set: Workload | undefined, field: string): number | undefined => set?.status?.[field] as number | undefined
const imageOf = (workload: Workload | undefined): string | undefined => workload?.spec.template.spec.containers[0]?.image

for (const provider of ['traefik', 'kubernetes'] as const) {
  test(`a DaemonSet is adopted, released, rolled back and given back (${provider})`, { skip, buffered: true }, async (t) => {
    const ns = await namespace(t, { gated: false })
    const [{ spec, metadata }, ...others] = shop(ns, { host: `${ns}.example.org` })
    await applyYaml({ apiVersion: 'apps/v1', kind: 'DaemonSet', metadata, spec: { selector: spec.selector, template: spec.template } }, ...others)
    await waitFor('the shop', async () => numberOf(await daemonSet(ns, 'cart'), 'numberReady') === 1, 60)
    await applyYaml(canary(ns, { provider, targetRef: { apiVersion: 'apps/v1', kind: 'DaemonSet', name: 'cart' }, progressDeadlineSeconds: 12, analysis: ANALYSIS }))
    await reaches(ns, ['Initialized'], 60)
    t.match(await daemonSet(ns, 'cart'), { spec: { template: { spec: { nodeSelector: { [SCALE_TO_ZERO]: 'true' } } } }, status: { desiredNumberScheduled: 0 } })
    t.equal(numberOf(await daemonSet(ns, 'cart-primary'), 'numberReady'), 1)

    await runsTo(ns, 'Succeeded', 90, () => kubectl('-n', ns, 'set', 'image', 'daemonset/cart', 'cart=shop:1.1'))
    t.equal(imageOf(await daemonSet(ns, 'cart-primary')), 'shop:1.1')
    await waitFor('the canary\'s pods to go', async () => numberOf(await daemonSet(ns, 'cart-canary'), 'desiredNumberScheduled') === 0, 30)
    t.equal((await serviceSelector(ns))[LABEL_ROLE], 'primary')

    await runsTo(ns, 'Failed', 90, () => kubectl('-n', ns, 'set', 'image', 'daemonset/cart', 'cart=shop:unready'))
    t.equal(imageOf(await daemonSet(ns, 'cart-primary')), 'shop:1.1')

    const deleted = await run(['-n', ns, 'delete', 'canary', 'cart', '--timeout=60s'], { timeoutMs: 70_000 })
    t.equal(deleted.code, 0, deleted.stderr)
    await waitFor('the primary to go', isGone(ns, 'daemonset', 'cart-primary'), 30)
    const target = await daemonSet(ns, 'cart')
    t.equal(imageOf(target), 'shop:1.1')
    t.equal(numberOf(target, 'numberReady'), 1)
    t.notOk(target?.spec.template.spec['nodeSelector'])
    t.equal((await serviceSelector(ns))[LABEL_ROLE], undefined)
  })
}

const serviceSelector = async (ns: string): Promise<Readonly<Record<string, string>>> =>
  JSON.parse(await kubectl('-n', ns, 'get', 'service', 'cart', '-o', 'jsonpath={.spec.selector}')) as Readonly<Record<string, string>>

test('a cluster that is rebuilt from its manifests in mid-canary: the unanalysed version does not become what serves', { skip, buffered: true }, async (t) => {
  const ns = await namespace(t, { gated: false })
  const host = `${ns}.example.org`
  const theCanary = canary(ns, { provider: 'traefik', analysis: { interval: '120s', threshold: 2, stepWeights: [50] } })
  await deployShop(ns, { host })
  await applyYaml(theCanary)
  await reaches(ns, ['Initialized'], 60)
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await waitFor('weight', async () => (await getCanary(ns))?.status?.canaryWeight === 50, 60)
  const uid = (await getCanary(ns))?.metadata.uid

  // Everything but the primary is made anew, from manifests that name the new version; nothing is left of what was known.
  await kubectl('-n', ns, 'delete', 'canary', 'cart', '--cascade=orphan', '--wait=false')
  await merge(ns, 'canary', 'cart', { metadata: { finalizers: [] } })
  await waitFor('the Canary to go', isGone(ns, 'canary', 'cart'), 20)
  await kubectl('-n', ns, 'delete', 'controllerrevision', '--all')
  await kubectl('-n', ns, 'delete', 'deployment/cart', 'deployment/cart-canary', 'service/cart', 'ingressroute/cart')
  await deployShop(ns, { host, image: 'shop:1.1' })
  await applyYaml(theCanary)
  const seen = new Set<string | undefined>()
  await waitFor('weight on the new version', async () => {
    seen.add(imageOf(await deployment(ns, 'cart-primary')))
    return (await getCanary(ns))?.status?.canaryWeight === 50
  }, 90)
  t.same([...seen], ['shop:1.0'])
  t.equal(imageOf(await deployment(ns, 'cart-canary')), 'shop:1.1')
  const owner = (await getCanary(ns))?.metadata.uid
  t.not(owner, uid)
  t.match(await deployment(ns, 'cart-primary'), { metadata: { ownerReferences: [{ uid: owner ?? '' }] } })
})

test('a Canary applied over one that the agent wrote meets no conflict, and is its author\'s', { skip, buffered: true }, async (t) => {
  const ns = await namespace(t)
  await deployShop(ns)
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  const written = await waitFor('a Canary', () => getCanary(ns), 20)
  t.equal(written.spec.gate?.generated, true)
  await waitFor('its adoption', async () => ((await getCanary(ns))?.status?.phase ?? '') !== '', 20)
  const theirs = await run(['apply', '--server-side', '-f', '-'], { input: JSON.stringify(canary(ns, { analysis: { interval: '30s', threshold: 3, stepWeights: [10, 20] } })) })
  t.equal(theirs.code, 0, theirs.stderr)
  const taken = await getCanary(ns)
  t.match(taken?.spec, { analysis: { interval: '30s', stepWeights: [10, 20] } })
  t.equal(taken?.spec.gate?.generated, undefined)
  t.equal(taken?.metadata.labels?.['app.kubernetes.io/managed-by'], undefined)
})
