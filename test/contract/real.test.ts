import { readFile } from 'node:fs/promises'
import { test } from 'tap'
import { createKubeClient } from '#kube/client.ts'
import { loadClusterConfig } from '#kube/config.ts'
import { cases } from './cases.ts'

const CLUSTER_FILE = new URL('../../.cluster/cluster.json', import.meta.url)

const kubeconfig = await readFile(CLUSTER_FILE, 'utf8').then((text) => (JSON.parse(text) as { kubeconfig?: string }).kubeconfig, () => undefined)
const skip = kubeconfig === undefined ? 'no cluster is up: make cluster-up' : false

/** A namespace for this run; it goes with everything in it. */
async function world() {
  const config = await loadClusterConfig({ kubeconfig: kubeconfig ?? '', now: Date.now })
  const client = createKubeClient(config, { userAgent: 'canarygate/contract', qps: 200, burst: 200, now: Date.now, random: Math.random })
  const namespace = `contract-${process.pid}-${Date.now().toString(36)}`
  await client.create({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } })
  return { client, namespace }
}

if (!skip) test('a real API server', async (t) => {
  const { client, namespace } = await world()
  t.teardown(async () => {
    await client.delete({ apiVersion: 'v1', kind: 'Namespace', name: namespace })
    await client.close()
  })
  for (const { name, run } of cases) await t.test(name, async (t) => run(t, { client, namespace }))
})
else for (const { name } of cases) test(`a real API server: ${name}`, { skip }, async () => {})
