import { get } from 'node:http'
import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { FLAGGER_API_VERSION } from '#api/names.ts'
import { createKubeClient, type KubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'

/**
 * What idle Canaries cost the leading agent on the real cluster: `bench/scale.ts KUBECONFIG [count]`. Targets without pods, so that the API
 * server and not the kubelet is measured. Prints memory before and after, growth per Canary, and requests while nothing happens.
 */
const NAMESPACE = 'canarygate-scale'
const QUIET_MS = 30_000
const PER_CANARY_MS = 400

export async function measureScale(kubeconfig: string, count: number): Promise<void> {
  const client = createKubeClient(await loadClusterConfig({ kubeconfig, now: () => performance.now() }), {
    userAgent: 'canarygate-bench', qps: 400, burst: 800, now: () => performance.now(), random: Math.random,
  })
  await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })
  await until(async () => !(await client.get({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })), 'the old namespace is gone', 300_000)
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE } })
  try {
    const before = await leader(client)
    const beganAt = performance.now()
    for (let first = 0; first < count; first += 50) await Promise.all(Array.from({ length: Math.min(50, count - first) }, (_, index) => setUp(client, `app-${first + index}`)))
    await until(async () => (await idle(client)) === count, `${count} Canaries are initialized`, count * PER_CANARY_MS + 60_000)
    const tookSeconds = (performance.now() - beganAt) / 1_000
    await wait(5_000)
    const rested = await leader(client)
    await wait(QUIET_MS)
    const after = await leader(client)
    const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)
    console.log(`${count} Canaries adopted in ${tookSeconds.toFixed(0)} s`)
    console.log(`resident memory of the leading agent: ${mib(before.residentBytes)} MiB before, ${mib(after.residentBytes)} MiB with ${count} idle Canaries: ${((after.residentBytes - before.residentBytes) / count / 1_024).toFixed(1)} KiB each`)
    console.log(`while idle for ${QUIET_MS / 1_000} s: ${after.requests - rested.requests} requests besides watches and Lease, ${(((after.cpuSeconds - rested.cpuSeconds) / QUIET_MS) * 1e5).toFixed(2)} % of a core`)
  } finally {
    await client.raw('DELETE', `/apis/${FLAGGER_API_VERSION}/namespaces/${NAMESPACE}/canaries`, {})
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: NAMESPACE })
    await client.close()
  }
}

async function setUp(client: KubeClient, name: string): Promise<void> {
  const metadata = { name, namespace: NAMESPACE }
  const labels = { app: name }
  await client.create({
    apiVersion: 'apps/v1', kind: 'Deployment', metadata,
    spec: { replicas: 0, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'shop:1.0', ports: [{ containerPort: 8080 }] }] } } },
  })
  await client.create({ apiVersion: 'v1', kind: 'Service', metadata, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } })
  await client.create({
    apiVersion: FLAGGER_API_VERSION, kind: 'Canary', metadata,
    spec: { provider: 'kubernetes', targetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name }, service: { port: 80, targetPort: 8080 }, analysis: { interval: '1m', threshold: 5, stepWeight: 10, maxWeight: 50 } },
  })
}

async function idle(client: KubeClient): Promise<number> {
  let found = 0
  let next: string | undefined
  do {
    const page = await client.list(FLAGGER_API_VERSION, 'Canary', { namespace: NAMESPACE, limit: 500, ...(next ? { continue: next } : {}) })
    found += page.items.filter((canary) => (canary['status'] as { readonly phase?: string } | undefined)?.phase === 'Initialized').length
    next = page.continue
  } while (next)
  return found
}

type Usage = { readonly residentBytes: number; readonly cpuSeconds: number; readonly requests: number }

/** The leading agent's own metrics. */
async function leader(client: KubeClient): Promise<Usage> {
  const { items } = await client.list('v1', 'Pod', { namespace: 'canarygate', labelSelector: 'app.kubernetes.io/component=agent' })
  for (const pod of items) {
    const address = (pod['status'] as { readonly podIP?: string } | undefined)?.podIP
    const page = address ? await pageOf(`http://${address}:8080/metrics`).catch(() => '') : ''
    const value = (name: string): number => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(page)?.[1] ?? Number.NaN)
    if (value('canarygate_leader') !== 1) continue
    const requests = [...page.matchAll(/^canarygate_api_requests_total\{verb="(\w+)",resource="([\w.]+)"[^}]*\} (\d+)/gm)]
      .filter(([, verb, resource]) => verb !== 'watch' && resource !== 'leases')
      .reduce((sum, [, , , times]) => sum + Number(times), 0)
    return { residentBytes: value('process_resident_memory_bytes'), cpuSeconds: value('process_cpu_seconds_total'), requests }
  }
  throw new Error('no agent says that it leads: is CanaryGate installed?')
}

const pageOf = (url: string): Promise<string> => new Promise((resolve, reject) => {
  get(url, { timeout: 5_000 }, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => resolve(text))
  }).once('error', reject).once('timeout', () => reject(new Error('no answer')))
})

async function until(isSo: () => Promise<boolean>, what: string, longestMs: number): Promise<void> {
  const deadline = performance.now() + longestMs
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not in time: ${what}`)
    await wait(1_000)
  }
}

if (import.meta.main) {
  const [kubeconfig, count = '1000'] = process.argv.slice(2)
  if (!kubeconfig) throw new Error('usage: bench/scale.ts KUBECONFIG [count]')
  await measureScale(kubeconfig, Number(count))
}
