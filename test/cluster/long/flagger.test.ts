import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { t, test, type Test } from 'tap'
import {
  answers, applyYaml, begin, canary, client, cluster, deployment, events, getCanary, imageOf, installed, kubectl, type Load, namespace, reaches, run, shop, skip, startLoad,
  uninstalled, waitFor,
} from '../../scene.ts'

/** The way from a real Flagger to CanaryGate, as docs/from-flagger.md tells it, with users on what it looks after. */
await begin(t)

const FLAGGER = 'github.com/fluxcd/flagger'
const hasFlagger = !skip && (await run(['-n', 'flagger-system', 'get', 'deployment', 'flagger'])).code === 0
const skipped = skip || (hasFlagger ? false : 'Flagger is not on this cluster: test/cluster/up.sh --with flagger')
if (!skipped) {
  t.teardown(async () => {
    await scaleFlagger(0)
    await installed()
  })
}

async function scaleFlagger(replicas: number): Promise<void> {
  await kubectl('-n', 'flagger-system', 'scale', 'deployment/flagger', `--replicas=${replicas}`)
  await waitFor(`${replicas} Flagger`, async () => {
    const { items } = await (await client()).list('v1', 'Pod', { namespace: 'flagger-system', labelSelector: 'app=flagger' })
    return items.length === replicas && ((await deployment('flagger-system', 'flagger'))?.status?.readyReplicas ?? 0) === replicas
  }, 60)
}

/** A cluster that never had CanaryGate: Flagger's definitions, out of its own module. */
async function onlyItsCrds(): Promise<void> {
  await kubectl('delete', 'canaries', '--all', '--all-namespaces', '--timeout=50s')
  await uninstalled()
  // What is applied to a definition that is about to go, goes with it.
  const definition = { apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', name: 'canaries.flagger.app' }
  await waitFor('our definitions to go', async () => (await (await client()).get(definition)) === undefined, 60)
  const folder = execFileSync('go', ['list', '-m', '-f', '{{.Dir}}', FLAGGER], { cwd: new URL('../tools/flagger', import.meta.url).pathname, encoding: 'utf8' }).trim()
  await kubectl('apply', '-f', join(folder, 'artifacts/flagger/crd.yaml'))
}

/** A shop that is Flagger's to release, by a route of the Gateway API. */
async function lookedAfter(t: Test): Promise<string> {
  const ns = await namespace(t, { gated: false })
  const [{ spec, ...target }, ...others] = shop(ns, { replicas: 2 })
  // Flagger's types know no `sleep` before a stop, and would leave it out of the primary.
  const containers = spec.template.spec.containers.map((container) => ({ ...container, lifecycle: { preStop: { httpGet: { path: '/linger', port: 'http' } } } }))
  await applyYaml({ ...target, spec: { ...spec, template: { ...spec.template, spec: { ...spec.template.spec, containers } } } }, ...others)
  await applyYaml(canary(ns, {
    provider: 'gatewayapi:v1beta1',
    service: { port: 80, targetPort: 'http', hosts: [`${ns}.example.org`], gatewayRefs: [{ name: 'traefik', namespace: 'traefik' }] },
    analysis: { interval: '10s', threshold: 3, stepWeight: 25, maxWeight: 50 },
  }))
  return ns
}

const users = (t: Test, ns: string): Load => startLoad(t, { url: cluster().traefikUrl, host: `${ns}.example.org`, rate: 30 })

async function nobodyFailed(t: Test, load: Load): Promise<void> {
  const { total, failed, byVersionAndCode, errors } = await load.stop()
  t.comment(`${total} requests, ${failed} failed`, byVersionAndCode, errors)
  t.equal(failed, 0, `0 of ${total} requests failed`)
}

test('Flagger is stopped and CanaryGate installed: what rested rests, what was under way is judged afresh, and nobody fails', { skip: skipped }, async (t) => {
  await onlyItsCrds()
  await scaleFlagger(1)
  const [resting, running] = [await lookedAfter(t), await lookedAfter(t)]
  await Promise.all([resting, running].map(async (ns) => {
    await reaches(ns, ['Initialized'], 120)
    // Flagger does not wait until its route is in force.
    await waitFor('Traefik to lead to it', () => answers(cluster().traefikUrl, `${ns}.example.org`), 20)
  }))
  const [atRest, underWay] = [users(t, resting), users(t, running)]
  await kubectl('-n', running, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await waitFor('Flagger to give its canary weight', async () => ((await getCanary(running))?.status?.canaryWeight ?? 0) > 0, 90)
  t.comment(await kubectl('get', 'canaries', '-A'))
  const sofar = (stage: string): void => t.comment(stage, atRest.sofar(), underWay.sofar())

  sofar('Flagger has released')
  await scaleFlagger(0)
  sofar('Flagger has stopped')
  await installed()
  sofar('CanaryGate is there')
  const primary = await deployment(resting, 'cart-primary')
  await waitFor('the target at rest to be taken over', async () => (await deployment(resting, 'cart'))?.metadata.annotations?.['canarygate.dev/replicas'] === '2', 60)
  t.equal((await deployment(resting, 'cart-primary'))?.metadata.uid, primary?.metadata.uid, 'its primary is kept')
  await reaches(resting, ['Initialized', 'Succeeded'], 30)

  sofar('what rested is taken over')
  const { stderr } = await run(['-n', resting, 'set', 'image', 'deployment/cart', 'cart=shop:1.2'])
  t.match(stderr, /is held as revision/)
  await reaches(resting, ['Succeeded'], 120)
  t.equal(await imageOf(resting, 'cart-primary'), 'shop:1.2')
  await waitFor('the one under way to be promoted', async () => (await imageOf(running, 'cart-primary')) === 'shop:1.1' && (await getCanary(running))?.status?.phase === 'Succeeded', 120)
  for (const ns of [resting, running]) t.comment((await events(ns)).map(({ reason, message }) => `${reason}: ${message}`))
  t.comment(await kubectl('get', 'canaries', '-A'))
  await nobodyFailed(t, atRest)
  await nobodyFailed(t, underWay)
})
