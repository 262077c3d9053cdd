import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import { shardOf } from '#agent/shards.ts'
import type { KubeObject } from '#api/objects.ts'
import {
  adoptedShop, applyYaml, beginMeasuring, canary, client, deployment, events, getCanary, imageOf, kubectl, namespace, processOf, reaches, run, shop, skip, waitFor,
} from '../scene.ts'
import { ADMISSIONS_PER_SECOND, rehearse, underAdmissions, webhookPods } from './admissions.ts'

/** What happens to runs and to people's commands when a process of ours dies, or leaves. */
await beginMeasuring(t)

const TAKEOVER_SECONDS = 8
const HAND_OVER_SECONDS = 1
/** A leaving webhook waits for connections that are idle. */
const LONGEST_DRAIN_SECONDS = 150
const OURS = 'canarygate'

type Lease = KubeObject & { readonly spec?: { readonly holderIdentity?: string; readonly leaseTransitions?: number } }

const holder = async (name = 'canarygate-agent'): Promise<string> =>
  (await (await client()).get<Lease>({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: OURS, name }))?.spec?.holderIdentity ?? ''
const podOf = (identity: string): string => identity.slice(0, identity.lastIndexOf('_'))

/** Seconds until somebody else holds the Lease. */
async function takenOver(from: string, within: number): Promise<number> {
  const startedAt = performance.now()
  await waitFor('another leader', async () => { const now = await holder(); return now !== '' && now !== from }, within, 20)
  return (performance.now() - startedAt) / 1_000
}

async function bothAgents(): Promise<void> {
  await waitFor('two ready agents', async () => (await deployment(OURS, 'canarygate-agent'))?.status?.readyReplicas === 2, 60)
  await waitFor('a leader', async () => (await holder()) !== '', 20)
}

async function inMidRun(ns: string): Promise<void> {
  await kubectl('-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1')
  await waitFor('the canary to have weight', async () => ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0, 40)
}

const STEPS = { analysis: { interval: '6s', threshold: 2, stepWeights: [20, 50] } }

/** Enough to meet every connection that is still there, and little beside what the agents do. */
const FEW_PER_SECOND = 20
/** A leaving webhook takes requests for 12 s, until every API server has heard that it goes. */
const STILL_ASKED_MS = 20_000
type Rehearsals = Awaited<ReturnType<typeof rehearse>>
let rehearsals: Rehearsals | undefined

test('a rolling restart of the webhook under 200 admissions/s: none fails, none passes ungated', { skip }, async (test) => {
  rehearsals = await rehearse(t)
  await kubectl('-n', OURS, 'rollout', 'restart', 'deployment/canarygate-webhook')
  test.equal((await run(['-n', OURS, 'rollout', 'status', 'deployment/canarygate-webhook', '--timeout=90s'], { timeoutMs: 100_000 })).code, 0)
  await wait(STILL_ASKED_MS)
  test.ok(rehearsals.sofar() > ADMISSIONS_PER_SECOND * 5)
  // Its idle connections end by themselves, a minute and a half after their last request. Meanwhile the agents' turn: they take nothing from it.
  rehearsals.slowTo(FEW_PER_SECOND)
})

for (const { name, signal, within } of [
  { name: 'kill -9 of the leading agent in mid-run: the other takes over and the run ends as it would have', signal: 'SIGKILL', within: TAKEOVER_SECONDS },
  { name: 'SIGTERM of the leading agent in mid-run: it hands over at once', signal: 'SIGTERM', within: HAND_OVER_SECONDS },
] as const) {
  test(name, { skip }, async (t) => {
    const ns = await namespace(t)
    await bothAgents()
    await adoptedShop(ns, {}, STEPS)
    await inMidRun(ns)
    const leader = await holder()
    const pid = await processOf(podOf(leader))
    process.kill(pid, signal)
    const seconds = await takenOver(leader, 30)
    t.comment(`${signal}: another leads after ${seconds.toFixed(2)} s`)
    t.ok(seconds <= within, `another leads after ${seconds.toFixed(2)} s, at most ${within}`)
    await reaches(ns, ['Succeeded'], 60)
    t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
    const told = (await events(ns)).filter(({ kind }) => kind === 'Canary').map(({ reason }) => reason)
    t.strictSame(told.filter((reason) => reason === 'CanaryAdvanced').length, 2, told.join(' '))
    t.notOk(told.some((reason) => /RolledBack|Aborted|Restarted|Lost/.test(reason)), told.join(' '))
  })
}

const AGENT = ['-n', OURS, 'deployment/canarygate-agent'] as const
const agentsAre = async (...change: readonly string[]): Promise<void> => {
  await kubectl(...change)
  await run(['-n', OURS, 'rollout', 'status', 'deployment/canarygate-agent', '--timeout=90s'], { timeoutMs: 100_000 })
}

/** Both agents anew, until each has a shard: one that starts much earlier takes both. */
async function divided(): Promise<readonly [string, string]> {
  for (let tries = 0; tries < 5; tries += 1) {
    await agentsAre('scale', ...AGENT, '--replicas=0')
    await waitFor('no agent', async () => (await run(['-n', OURS, 'get', 'pods', '-l', 'app.kubernetes.io/component=agent', '-o', 'name'])).stdout === '', 60)
    await agentsAre('scale', ...AGENT, '--replicas=2')
    await wait(3_000) // longer than an agent leaves a free shard to others
    const holders = await waitFor('both shards to be led', async () => {
      const found = [await holder(), await holder('canarygate-agent-1')] as const
      return found.every((each) => each !== '') && found
    }, 30)
    if (holders[0] !== holders[1]) return [podOf(holders[0]), podOf(holders[1])]
  }
  throw new Error('one agent took both shards, five times')
}

/** A shop of another name, without a router. */
function shopNamed(ns: string, name: string): readonly KubeObject[] {
  return JSON.parse(JSON.stringify(shop(ns)).replaceAll('"app":"cart"', `"app":"${name}"`).replaceAll('"name":"cart","namespace"', `"name":"${name}","namespace"`)) as readonly KubeObject[]
}

test('two shards: each agent works its own Canaries to the end, and touches none of the other\'s', { skip }, async (t) => {
  const ns = await namespace(t, { gated: false })
  t.teardown(async () => {
    await agentsAre('set', 'env', ...AGENT, 'SHARDS-')
    await bothAgents()
  })
  await agentsAre('set', 'env', ...AGENT, 'SHARDS=2')
  const agents = await divided()
  const names = Array.from({ length: 40 }, (_, i) => `shop-${i}`)
  const ofShard = (shard: number): readonly string[] => names.filter((name) => shardOf(`${ns}/${name}`, 2) === shard).slice(0, 2)
  const mine = [ofShard(0), ofShard(1)] as const
  for (const name of mine.flat()) {
    const own = canary(ns)
    await applyYaml(...shopNamed(ns, name), { ...own, metadata: { ...own.metadata, name }, spec: { ...own.spec, targetRef: { ...own.spec.targetRef, name } } })
  }
  for (const name of mine.flat()) await reaches(ns, ['Initialized'], 60, name)
  for (const name of mine.flat()) await kubectl('-n', ns, 'set', 'image', `deployment/${name}`, 'cart=shop:1.1')
  for (const name of mine.flat()) await waitFor(`the promotion of ${name}`, async () => (await getCanary(ns, name))?.status?.phase === 'Succeeded', 90)
  const { items } = await (await client()).list<KubeObject & { readonly involvedObject: { readonly kind: string; readonly name: string }; readonly reportingInstance?: string }>('v1', 'Event', { namespace: ns })
  for (const [shard, names] of mine.entries()) {
    for (const name of names) {
      t.equal(await imageOf(ns, `${name}-primary`), 'shop:1.1')
      const told = items.filter(({ involvedObject }) => involvedObject.kind === 'Canary' && involvedObject.name === name).map(({ reportingInstance }) => reportingInstance)
      t.ok(told.length > 3, `${told.length} events`)
      t.strictSame([...new Set(told)], [agents[shard]], `${name} is worked by the agent of shard ${shard} alone`)
    }
  }
  t.strictSame([podOf(await holder()), podOf(await holder('canarygate-agent-1'))], agents, 'and nobody took over meanwhile')
})

test('and none until the restarted webhook has let its last connection go', { skip }, async (t) => {
  await waitFor('the old pods to be gone', async () => (await webhookPods()).length === 2, LONGEST_DRAIN_SECONDS)
  const seen = await rehearsals?.end(t)
  t.match(seen, { failed: 0, ungated: 0, errors: {} })
})

test('kill -9 of one webhook pod under 200 admissions/s: nobody\'s command fails', { skip }, async (t) => {
  const seen = await underAdmissions(t, async () => {
    const [pod = ''] = await webhookPods()
    process.kill(await processOf(pod), 'SIGKILL')
    await wait(4_000)
  })
  t.equal(seen.failed, 0, 'its webhooks fail open')
  t.comment(`${seen.ungated} of ${seen.sent} passed without being held; what reaches an adopted target like that is gated by the agent all the same`)
  await waitFor('two ready webhooks', async () => (await deployment(OURS, 'canarygate-webhook'))?.status?.readyReplicas === 2, 60)
})

test('with the webhook away, a change of an adopted target is still a run', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  await kubectl('-n', OURS, 'scale', 'deployment/canarygate-webhook', '--replicas=0')
  t.teardown(async () => {
    await kubectl('-n', OURS, 'scale', 'deployment/canarygate-webhook', '--replicas=2')
    await run(['-n', OURS, 'rollout', 'status', 'deployment/canarygate-webhook', '--timeout=60s'], { timeoutMs: 70_000 })
  })
  // They would drain for a while; here they are to be away.
  for (const pod of await webhookPods()) process.kill(await processOf(pod), 'SIGKILL')
  await waitFor('no webhook', async () => (await webhookPods()).join('') === '', 60)
  const set = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'])
  t.equal(set.code, 0, set.stderr)
  await reaches(ns, ['Progressing'], 10)
  await reaches(ns, ['Succeeded'], 60)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
})
