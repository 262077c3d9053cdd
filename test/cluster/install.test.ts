import { setTimeout as wait } from 'node:timers/promises'
import { t, test, type Test } from 'tap'
import type { Load } from '../scene.ts'
import {
  adoptedShop, begin, client, cluster, deployment, getCanary, imageOf, INSTALL, installed, kubectl, namespace, reaches, run, serviceUrl, skip, startLoad,
  uninstalled, waitFor,
} from '../scene.ts'

/** CanaryGate is taken away while people use what it looked after. Each test leaves it installed. */
await begin(t)
if (!skip) t.teardown(installed)

const CRD = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: 'canaries.flagger.app' }
const SHOP = { replicas: 2, preStopSeconds: 3 }

async function users(t: Test, ns: string, host: string): Promise<readonly Load[]> {
  return [startLoad(t, { url: cluster().traefikUrl, host, rate: 40 }), startLoad(t, { url: await serviceUrl(ns), rate: 40 })]
}

async function nobodyFailed(t: Test, loads: readonly Load[]): Promise<void> {
  for (const load of loads) {
    const { total, failed, byVersionAndCode, errors } = await load.stop()
    t.comment(`${total} requests, ${failed} failed`, byVersionAndCode, errors)
    t.equal(failed, 0, `0 of ${total} requests failed`)
  }
}

async function isOrdinary(t: Test, ns: string): Promise<void> {
  const target = await deployment(ns, 'cart')
  t.match(target, { spec: { replicas: 2, template: { spec: { containers: [{ image: 'shop:1.0' }] } } }, status: { readyReplicas: 2 } })
  t.notOk(target?.spec.paused)
  t.strictSame(Object.keys(target?.metadata.annotations ?? {}).filter((key) => key.startsWith('canarygate.dev/')), [])
  t.equal(await deployment(ns, 'cart-primary'), undefined)
}

async function adopted(t: Test): Promise<{ ns: string; host: string }> {
  const ns = await namespace(t)
  const host = `${ns}.example.org`
  await adoptedShop(ns, { ...SHOP, host }, { provider: 'traefik' })
  return { ns, host }
}

test('the documented way: Canaries first, then the rest; every target is an ordinary Deployment again', { skip }, async (t) => {
  await installed()
  const { ns, host } = await adopted(t)
  const loads = await users(t, ns, host)
  const canaries = await run(['delete', 'canaries', '--all', '--all-namespaces', '--timeout=120s'], { timeoutMs: 130_000 })
  t.equal(canaries.code, 0, canaries.stderr)
  await uninstalled()
  await waitFor('the kind to go', async () => (await (await client()).get(CRD)) === undefined, 30)
  await nobodyFailed(t, loads)
  await isOrdinary(t, ns)
  t.equal(await (await client()).get(CRD), undefined)
  const set = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'])
  t.strictSame([set.code, set.stderr], [0, ''])
  t.equal((await run(['-n', ns, 'rollout', 'status', 'deployment/cart', '--timeout=60s'])).code, 0)
})

test('all at once by delete -k: what serves goes on serving, and a new installation picks up', { skip }, async (t) => {
  await installed()
  const { ns, host } = await adopted(t)
  const loads = await users(t, ns, host)
  await uninstalled()
  await wait(3_000)
  t.comment(await kubectl('-n', ns, 'get', 'deployments,services'))
  // What was deleted with the kind is given back by the first agent that comes; then the kind goes, and is installed again.
  await run(['apply', '--server-side', '--force-conflicts', '-k', INSTALL])
  await waitFor('the target to be given back', async () => (await getCanary(ns).catch(() => undefined)) === undefined && (await deployment(ns, 'cart-primary')) === undefined, 90, 500)
  await wait(4_000)
  await nobodyFailed(t, loads)
  await isOrdinary(t, ns)
  await installed()
  const later = await users(t, ns, host)
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await reaches(ns, ['Succeeded'], 90)
  await nobodyFailed(t, later)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1', 'and the next release is gated')
})
