import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import type { KubeObject, ObjectRef, Workload } from '#api/objects.ts'
import { applyYaml, canary, client, cluster, deployment, getCanary, installed, kubectl, namespace, shop, startLoad, uninstalled, waitFor, answers, type Load, type Shop } from '../test/scene.ts'
import { quantile, watchFor } from './scene.ts'

/**
 * CanaryGate, Flagger and Argo Rollouts themselves, one after another on the same cluster, with the same shop behind the same Traefik: `make bench-rivals`.
 * Notice: an image change is stored until a pod of it exists. Run: a good release beyond `interval x steps`, the starts of its pods included. Broken: what users get of a
 * version that fails every request, with one check a minute: Flagger gives up at the fifth failed one, as its documentation shows, Argo Rollouts at the first, its default.
 */
const WEIGHTS = [20, 50]
const GOOD: Analysis = { intervalSeconds: 10, failures: 5, weights: WEIGHTS }
const BROKEN: Analysis = { intervalSeconds: 60, failures: 5, weights: WEIGHTS }
const SHOP: Shop = { replicas: 2, preStopSeconds: 3 }
/** Users' requests a second. */
const RATE = 40
/** Another one in each release: pods of an earlier one that are kept for a while would be taken for new ones. */
const IMAGES = ['shop:1.1', 'shop:1.2', 'cart:2.3', 'cart:2.4', 'shop:1.0']
/** Between two releases: the pods of the last one go, a while after requests have left them. */
const REST_MS = 10_000
/** Longest wait for a release to end: five checks a minute apart, the starts of pods, and as much again. */
const PATIENCE_SECONDS = 720
/** What is answered by pods on their way out still counts. */
const LINGER_MS = 5_000
const PROMETHEUS = 'http://prometheus.monitoring:9090'

type Analysis = { readonly intervalSeconds: number; readonly failures: number; readonly weights: readonly number[] }
type Rival = {
  readonly name: string
  /** Ready to be asked; answers how to take it away. */
  install(): Promise<() => Promise<void>>
  /** A shop that it looks after, at rest. */
  bring(ns: string, settings: Shop, analysis: Analysis): Promise<void>
  change(ns: string, image: string): Promise<void>
  /** Of the release begun last; undefined while it goes on. */
  end(ns: string, image: string): Promise<'promoted' | 'rolled back' | undefined>
}

const canarygate: Rival = {
  name: 'CanaryGate',
  async install() {
    await installed()
    return withoutUs
  },
  bring: (ns, settings, analysis) => bringCanary(ns, settings, analysis, { gate: { judge: { mode: 'enforce' } } }),
  change: (ns, image) => setImage({ apiVersion: 'apps/v1', kind: 'Deployment', namespace: ns, name: 'cart' }, image),
  end: canaryEnd,
}

/** `kubectl set image`, which knows no Rollouts, without the start of a program. */
async function setImage(target: ObjectRef, image: string): Promise<void> {
  await (await client()).patch(target, [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: image }], 'json')
}

/** Without it, its definitions included: Flagger's have the same names. */
async function withoutUs(): Promise<void> {
  await uninstalled()
  const definition = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: 'canaries.flagger.app' }
  await waitFor('our definitions to go', async () => (await (await client()).get(definition)) === undefined, 60)
}

const flagger: Rival = {
  name: 'Flagger',
  async install() {
    await kubectl('apply', '--server-side', '-f', join(moduleOf('flagger', 'github.com/fluxcd/flagger'), 'artifacts/flagger/crd.yaml'))
    await scale('flagger-system', 'flagger', 1)
    return async () => {
      await scale('flagger-system', 'flagger', 0)
      for (const kind of ['canaries', 'metrictemplates', 'alertproviders']) await kubectl('delete', 'crd', `${kind}.flagger.app`)
    }
  },
  bring: (ns, settings, analysis) => bringCanary(ns, settings, analysis, { metricsServer: PROMETHEUS }),
  change: canarygate.change,
  end: canaryEnd,
}

/** Both read the same Canary. Flagger's built-in queries for Traefik need Traefik's own counters in Prometheus, so it is given the pods' in a query. */
async function bringCanary(ns: string, settings: Shop, { intervalSeconds, failures, weights }: Analysis, spec: Parameters<typeof canary>[1]): Promise<void> {
  await applyYaml(...withRoute(ns, shop(ns, settings)))
  const metric = { name: 'request-success-rate', interval: '1m', thresholdRange: { min: 99 } }
  const query = successRate(`kubernetes_namespace="${ns}",kubernetes_pod_name=~"cart-[0-9a-z]+-[0-9a-z]+"`)
  await applyYaml(canary(ns, {
    provider: 'traefik', progressDeadlineSeconds: 120,
    analysis: { interval: `${intervalSeconds}s`, threshold: failures, stepWeights: [...weights], metrics: [spec?.metricsServer ? { ...metric, name: 'success', query } : metric] },
    ...spec,
  }))
  await waitFor('its Canary to be initialised', async () => (await getCanary(ns))?.status?.phase === 'Initialized', 180)
}

async function canaryEnd(ns: string, image: string): Promise<'promoted' | 'rolled back' | undefined> {
  const phase = (await getCanary(ns))?.status?.phase
  const serves = (await deployment(ns, 'cart-primary'))?.spec.template.spec.containers[0]?.image
  return phase === 'Failed' ? 'rolled back' : phase === 'Succeeded' && serves === image ? 'promoted' : undefined
}

type Rollout = KubeObject & { readonly status?: { readonly phase?: string; readonly stableRS?: string; readonly currentPodHash?: string; readonly abort?: boolean; readonly observedGeneration?: string } }
const ARGO = 'argoproj.io/v1alpha1'

const argo: Rival = {
  name: 'Argo Rollouts',
  async install() {
    await kubectl('apply', '--server-side', '-k', join(moduleOf('argo-rollouts', 'github.com/argoproj/argo-rollouts'), 'manifests/crds'))
    await scale('argo-rollouts', 'argo-rollouts', 1)
    return async () => {
      await scale('argo-rollouts', 'argo-rollouts', 0)
      await kubectl('delete', 'crd', ...['rollouts', 'experiments', 'analysisruns', 'analysistemplates', 'clusteranalysistemplates'].map((kind) => `${kind}.argoproj.io`))
    }
  },
  async bring(ns, settings, { intervalSeconds, weights }) {
    const [target, service, ...others] = withRoute(ns, shop(ns, settings))
    const { strategy: _, ...spec } = (target as Workload).spec as Workload['spec'] & { readonly strategy?: object }
    const copyOf = (name: string) => ({ ...service, metadata: { name, namespace: ns } })
    await applyYaml(
      copyOf('cart-stable'), copyOf('cart-canary'), ...others,
      {
        apiVersion: 'traefik.io/v1alpha1', kind: 'TraefikService', metadata: { name: 'cart', namespace: ns },
        spec: { weighted: { services: ['cart-stable', 'cart-canary'].map((name) => ({ name, port: 80 })) } },
      },
      {
        apiVersion: ARGO, kind: 'AnalysisTemplate', metadata: { name: 'success', namespace: ns },
        spec: {
          args: [{ name: 'hash' }],
          metrics: [{
            name: 'success', interval: `${intervalSeconds}s`, initialDelay: `${intervalSeconds}s`, successCondition: 'len(result) == 0 || result[0] >= 99',
            provider: { prometheus: { address: PROMETHEUS, query: successRate(`kubernetes_namespace="${ns}",kubernetes_pod_name=~"cart-{{args.hash}}-.+"`) } },
          }],
        },
      },
      {
        ...target, apiVersion: ARGO, kind: 'Rollout',
        spec: {
          ...spec, progressDeadlineSeconds: 120,
          strategy: {
            canary: {
              stableService: 'cart-stable', canaryService: 'cart-canary', trafficRouting: { traefik: { weightedTraefikServiceName: 'cart' } },
              analysis: { templates: [{ templateName: 'success' }], args: [{ name: 'hash', valueFrom: { podTemplateHashValue: 'Latest' } }] },
              steps: weights.flatMap((setWeight) => [{ setWeight }, { pause: { duration: `${intervalSeconds}s` } }]),
            },
          },
        },
      },
    )
    await waitFor('its Rollout to be healthy', async () => (await rolloutOf(ns))?.status?.phase === 'Healthy', 180)
  },
  change: (ns, image) => setImage({ apiVersion: ARGO, kind: 'Rollout', namespace: ns, name: 'cart' }, image),
  async end(ns) {
    const rollout = await rolloutOf(ns)
    const { phase, abort, stableRS, currentPodHash, observedGeneration } = rollout?.status ?? {}
    if (abort || phase === 'Degraded') return 'rolled back'
    return observedGeneration === String(rollout?.metadata.generation) && phase === 'Healthy' && stableRS === currentPodHash ? 'promoted' : undefined
  },
}
const rolloutOf = async (ns: string): Promise<Rollout | undefined> => (await client()).get<Rollout>({ apiVersion: ARGO, kind: 'Rollout', namespace: ns, name: 'cart' })

/** Percent over the last minute; a pod that fails everything has a series without good ones. */
const successRate = (labels: string): string =>
  `100 * (1 - (sum(rate(http_request_duration_seconds_count{${labels},status=~"5.*"}[1m])) or vector(0)) / sum(rate(http_request_duration_seconds_count{${labels}}[1m])))`

/** Users come by an IngressRoute that names the TraefikService, which each of the three keeps. */
const withRoute = (ns: string, [target, service]: readonly [Workload, ...KubeObject[]]): readonly [Workload, KubeObject, KubeObject] => [target, service ?? target, {
  apiVersion: 'traefik.io/v1alpha1', kind: 'IngressRoute', metadata: { name: 'cart', namespace: ns },
  spec: { entryPoints: ['web'], routes: [{ kind: 'Rule', match: `Host(\`${hostOf(ns)}\`)`, services: [{ name: 'cart', kind: 'TraefikService' }] }] },
} as KubeObject]
const hostOf = (ns: string): string => `${ns}.example.org`

const moduleOf = (tool: string, module: string): string =>
  execFileSync('go', ['list', '-mod=mod', '-m', '-f', '{{.Dir}}', module], { cwd: new URL(`../test/cluster/tools/${tool}`, import.meta.url).pathname, encoding: 'utf8' }).trim()

async function scale(ns: string, name: string, replicas: number): Promise<void> {
  await kubectl('-n', ns, 'scale', `deployment/${name}`, `--replicas=${replicas}`)
  await waitFor(`${replicas} ${name}`, async () => ((await deployment(ns, name))?.status?.readyReplicas ?? 0) === replicas, 120)
}

/** What a test would do at its end. */
type Cleaning = { readonly teardown: (task: () => unknown) => void; done(): Promise<void> }
function cleaning(): Cleaning {
  const tasks: (() => unknown)[] = []
  return {
    teardown: (task) => { tasks.unshift(task) },
    async done() { for (const task of tasks) await task() },
  }
}

/** A shop in a rival's care, and its users. */
async function brought(rival: Rival, analysis: Analysis, cleaner: Cleaning): Promise<{ readonly ns: string; readonly load: Load }> {
  const ns = await namespace(cleaner, { gated: false })
  await rival.bring(ns, SHOP, analysis)
  await waitFor('Traefik to lead to it', () => answers(cluster().traefikUrl, hostOf(ns)), 30)
  const load = startLoad(cleaner, { url: cluster().traefikUrl, host: hostOf(ns), rate: RATE, minutes: 20 })
  return { ns, load }
}

/** Seconds from the change until a pod of it exists, and until the release has ended. */
async function release(rival: Rival, ns: string, image: string): Promise<{ readonly noticed: number; readonly ended: number; readonly how: string }> {
  const pod = watchFor(await client(), ns, 'v1', 'Pod', (object) => (object as PodImages).spec?.containers[0]?.image === image && object.metadata.deletionTimestamp === undefined)
  await pod.opened
  await rival.change(ns, image)
  const storedAt = performance.now()
  const noticed = Math.max(0, (await pod.at) - storedAt) / 1_000
  const how = await waitFor('the release to end', () => rival.end(ns, image), PATIENCE_SECONDS, 50)
  return { noticed, ended: (performance.now() - storedAt) / 1_000, how }
}
type PodImages = KubeObject & { readonly spec?: { readonly containers: readonly { readonly image: string }[] } }

type Figures = {
  readonly noticed: readonly number[]; readonly beyond: readonly number[]; readonly goodFailed: number; readonly goodTotal: number
  readonly brokenSeconds: number; readonly brokenFailed: number; readonly brokenTotal: number
}

async function measure(rival: Rival): Promise<Figures> {
  const cleaner = cleaning()
  const remove = await rival.install()
  try {
    const good = await brought(rival, GOOD, cleaner)
    const noticed: number[] = []
    const beyond: number[] = []
    for (const image of IMAGES) {
      const one = await release(rival, good.ns, image)
      if (one.how !== 'promoted') throw new Error(`${rival.name}: a good version was ${one.how}`)
      noticed.push(one.noticed)
      beyond.push(one.ended - GOOD.intervalSeconds * WEIGHTS.length)
      await wait(REST_MS)
    }
    const { failed: goodFailed, total: goodTotal } = await good.load.stop()

    const bad = await brought(rival, BROKEN, cleaner)
    const one = await release(rival, bad.ns, 'shop:broken')
    if (one.how !== 'rolled back') throw new Error(`${rival.name}: a version that fails every request was ${one.how}`)
    await wait(LINGER_MS)
    const { failed: brokenFailed, total: brokenTotal } = await bad.load.stop()
    return { noticed, beyond, goodFailed, goodTotal, brokenSeconds: one.ended, brokenFailed, brokenTotal }
  } finally {
    // Namespaces first, while there is somebody to let go of their objects.
    await cleaner.done()
    await waitFor('the namespaces to go', async () => (await (await client()).list('v1', 'Namespace', { labelSelector: 'canarygate.dev/scene=true' })).items.length === 0, 180, 1_000)
    await remove()
  }
}

const seconds = (values: readonly number[]): string => `${quantile(values, 0.5).toFixed(2)} (${Math.min(...values).toFixed(2)} to ${Math.max(...values).toFixed(2)})`

if (import.meta.main) {
  const RIVALS = [canarygate, flagger, argo]
  const chosen = process.argv.slice(2)
  const rows: string[] = []
  // Left by others, it would look after the same Canaries.
  await withoutUs().catch(() => {})
  for (const rival of RIVALS.filter(({ name }) => chosen.length === 0 || chosen.includes(name))) {
    console.log(`${rival.name} ...`)
    const { noticed, beyond, goodFailed, goodTotal, brokenSeconds, brokenFailed, brokenTotal } = await measure(rival)
    rows.push(`| ${[rival.name, seconds(noticed), seconds(beyond), `${goodFailed} of ${goodTotal}`, brokenSeconds.toFixed(1), `${brokenFailed} of ${brokenTotal}`].join(' | ')} |`)
    console.log(rows.at(-1))
  }
  console.log(`\n| | change to first pod, s | good release beyond ${WEIGHTS.length} x ${GOOD.intervalSeconds} s, s | failed meanwhile | broken version: change to rollback, s | failed requests |\n| --- | --- | --- | --- | --- | --- |\n${rows.join('\n')}`)
  await (await client()).close()
}
