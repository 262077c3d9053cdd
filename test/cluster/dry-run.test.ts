import { request } from 'node:https'
import { setTimeout as wait } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { t, test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { adoptedShop, beginBesideOthers, canary, client, kubectl, namespace, run, shop, skip, waitFor } from '../scene.ts'

/** `--dry-run=server` is the plan command: the same answers, and not a trace. */
await beginBesideOthers(t)

/** Long enough for an agent that had seen something to have done something (ms). */
const LONG_AFTER_MS = 3_000
const KINDS = [
  ['apps/v1', 'Deployment'], ['apps/v1', 'ReplicaSet'], ['apps/v1', 'ControllerRevision'], ['v1', 'Pod'], ['v1', 'Service'], ['v1', 'ConfigMap'], ['v1', 'Event'],
  ['flagger.app/v1beta1', 'Canary'], ['flagger.app/v1beta1', 'MetricTemplate'], ['discovery.k8s.io/v1', 'EndpointSlice'],
] as const

/** Every object of a namespace with its version: an object, a status, an event or a mark more would show. */
async function versionsIn(ns: string): Promise<Readonly<Record<string, string>>> {
  const lists = await Promise.all(KINDS.map(async ([apiVersion, kind]) => (await (await client()).list<KubeObject>(apiVersion, kind, { namespace: ns })).items))
  return Object.fromEntries(lists.flat().map(({ kind, metadata }) => [`${kind}/${metadata.name}`, metadata.resourceVersion ?? '']).toSorted())
}

/** The same when the adoption is over for everybody: the pod that it replaced is gone, and nobody has anything to write about it any more. */
async function restingVersionsIn(ns: string): Promise<Readonly<Record<string, string>>> {
  let before = await versionsIn(ns)
  return await waitFor('the adoption to be over', async () => {
    await wait(LONG_AFTER_MS)
    const [earlier, now] = [before, await versionsIn(ns)]
    before = now
    return isDeepStrictEqual(earlier, now) && Object.keys(now).filter((key) => key.startsWith('Pod/')).length === 1 && now
  }, 60)
}

/** What the webhooks count of this namespace beside reviews: findings that stand for something that was asked in earnest. */
async function countsOf(ns: string): Promise<readonly string[]> {
  const addresses = (await kubectl('-n', 'canarygate', 'get', 'pods', '-l', 'app.kubernetes.io/component=webhook', '--field-selector=status.phase=Running', '-o', 'jsonpath={.items[*].status.podIP}')).split(' ')
  return (await Promise.all(addresses.map(metricsAt))).flatMap((text) => text.split('\n').filter((line) => line.includes(`namespace="${ns}"`)))
}

const metricsAt = (host: string): Promise<string> => new Promise((resolve, reject) => {
  request({ host, port: 8_443, path: '/metrics', rejectUnauthorized: false, timeout: 5_000 }, (answer) => {
    let text = ''
    answer.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => resolve(text)).on('error', reject)
  }).on('error', reject).on('timeout', () => reject(new Error(`${host} does not tell its metrics`))).end()
})

test('a rehearsal is answered like the real thing and leaves no trace', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const [before, counts] = [await restingVersionsIn(ns), await countsOf(ns)]
  const dry = ['-n', ns, '--dry-run=server']
  const json = (object: object) => ({ input: JSON.stringify(object) })

  const set = await run([...dry, 'set', 'image', 'deployment/cart', 'cart=shop:1.1', '-o', 'yaml'])
  t.match(set, { code: 0, stderr: /Warning: CanaryGate: shop:1\.1 is held as revision \w+; canary 50% in 1 step of 3s, then promotion \(canary "cart"\)/ }, 'the plan is told')
  t.match(set.stdout, /canarygate\.dev\/gate: pending/)
  const [target] = shop(ns, { image: 'shop:1.1', replicas: 3 })
  t.match(await run([...dry, 'apply', '-f', '-'], json(target)), { code: 0, stderr: /is held as revision/ })
  t.match(await run([...dry, 'scale', 'deployment/cart', '--replicas=2']), { code: 0 })
  t.match(await run([...dry, 'apply', '-f', '-'], json(canary(ns, { analysis: { interval: '10s', threshold: 3, stepWeights: [60, 40] } }))), { code: 1, stderr: /spec\.analysis\.stepWeights/ }, 'faults are refused')
  t.match(await run([...dry, 'annotate', 'canary/cart', 'canarygate.dev/promote=a rehearsal', '--overwrite']), { code: 0 })
  t.match(await run([...dry, 'patch', 'deployment/cart-primary', '-p', '{"spec":{"replicas":7}}']), { code: 1, stderr: /gets its replicas from deployment\/cart/ })
  t.match(await run([...dry, 'patch', 'service/cart-canary', '-p', '{"spec":{"selector":{"canarygate.dev/role":"primary"}}}']), { code: 1, stderr: /service\/cart-canary is made from canary "cart"/ }, 'generated Services are guarded')
  t.match(await run([...dry, 'delete', 'controllerrevisions', '--all']), { code: 1, stderr: /snapshots go by themselves/ }, 'and snapshots')
  t.match(await run(['--dry-run=server', 'delete', 'crd', 'canaries.flagger.app']), { code: 0, stderr: /Warning: CanaryGate: canar.* there, and what serves is theirs/ }, 'what goes with the definition is said')
  t.match(await run([...dry, 'delete', 'canary/cart']), { code: 0 })
  t.match(await run([...dry, 'create', 'deployment', 'new', '--image=shop:1.0']), { code: 0 })

  await wait(LONG_AFTER_MS)
  t.strictSame(await versionsIn(ns), before, 'no object, event, status, snapshot or mark')
  t.strictSame(await countsOf(ns), counts, 'and nothing counted')
})
