import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import type { Test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import type { ClusterCanaryPolicySpec } from '#api/policies.ts'
import { adoptedShop, applyYaml, begin, canary, deployShop, events, getCanary, imageOf, kubectl, namespace, phase, reaches, run, skip, waitFor } from '../scene.ts'

/** Policies, with real users by RBAC: what they refuse, hold and queue on a cluster. */
await begin(t)

const COMMANDS = 'canarygate.dev'
const MINUTE_MS = 60_000
/** What a policy changes, the caches of two webhooks and an agent know a moment later (ms). */
const WATCH_MS = 1_000

async function policy(t: Test, namespaces: readonly string[], spec: Omit<ClusterCanaryPolicySpec, 'namespaces'>): Promise<string> {
  const name = `scene-${namespaces[0]}`
  t.teardown(() => kubectl('delete', 'clustercanarypolicy', name, '--ignore-not-found'))
  await applyYaml({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'ClusterCanaryPolicy', metadata: { name }, spec: { namespaces: { names: namespaces }, ...spec } })
  await wait(WATCH_MS)
  return name
}

const team = (ns: string, spec: object): KubeObject => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'CanaryPolicy', metadata: { name: 'team', namespace: ns }, spec })
const apply = (object: object) => run(['apply', '-f', '-'], { input: JSON.stringify(object) })
const setImage = (ns: string, image: string) => run(['-n', ns, 'set', 'image', 'deployment/cart', `cart=${image}`])
const told = async (ns: string, reason: string) => (await events(ns)).filter((event) => event.reason === reason)

/** Somebody who may edit Canaries, and has further verbs on them. */
async function user(t: Test, ns: string, name: string, verbs: readonly string[]): Promise<void> {
  await applyYaml(
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: { name, namespace: ns }, rules: [
      { apiGroups: ['flagger.app'], resources: ['canaries'], verbs: ['get', 'list', 'update', 'patch', ...verbs] },
      { apiGroups: ['apps'], resources: ['deployments'], verbs: ['get', 'list', 'update', 'patch'] },
    ] },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding', metadata: { name, namespace: ns }, roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name }, subjects: [
      { apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name },
    ] },
  )
}
const annotate = (ns: string, who: string, ...annotations: readonly string[]) =>
  run(['--as', who, '-n', ns, 'annotate', 'canary/cart', ...annotations.map((text) => `${COMMANDS}/${text}`), '--overwrite'])

test('a team policy that loosens is refused and not stored, one that tightens is stored', { skip }, async (t) => {
  const ns = await namespace(t)
  await policy(t, [ns], { limits: { maxWeight: 50 }, rules: { 'no-alerts': 'deny' } })
  const refused = await apply(team(ns, { limits: { maxWeight: 80 }, rules: { 'no-alerts': 'warn' } }))
  t.equal(refused.code, 1)
  t.match(refused.stderr, /spec\.limits\.maxWeight: 80 is more than the cluster's 50/)
  t.match(refused.stderr, /spec\.rules\.no-alerts: warn is softer than deny/)
  t.equal((await run(['-n', ns, 'get', 'canarypolicy', 'team'])).code, 1, 'it is not there')
  t.equal((await apply(team(ns, { limits: { maxWeight: 20 } }))).code, 0)
  await wait(WATCH_MS)
  const unsafe = await apply({ ...canary(ns), spec: { ...canary(ns).spec, analysis: { interval: '10s', threshold: 2, stepWeights: [10, 30] } } })
  t.equal(unsafe.code, 1)
  t.match(unsafe.stderr, /30 is more than 20.*policy scene-.*, team/)
})

test('a freeze window holds a change, and releases it at its end', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  // From the beginning of this minute, so that it is in force now, for some seconds more.
  const now = Date.now()
  const start = Math.floor(now / MINUTE_MS) * MINUTE_MS
  const seconds = Math.ceil((now - start) / 1_000) + 15
  const { minute, hour } = { minute: new Date(start).getUTCMinutes(), hour: new Date(start).getUTCHours() }
  await policy(t, [ns], { freeze: [{ name: 'inventory', start: `${minute} ${hour} * * *`, duration: `${seconds}s`, timeZone: 'UTC' }] })
  const endsAt = start + seconds * 1_000
  const set = await setImage(ns, 'shop:1.1')
  t.equal(set.code, 0, 'the change is admitted')
  t.match(set.stderr, /is held by freeze window "inventory" until \S+Z/)
  await waitFor('the hold to be told', async () => (await told(ns, 'CanaryHeldByPolicy')).length > 0, 5)
  while (Date.now() < endsAt - 1_000) {
    t.equal(await phase(ns), 'Initialized', 'nothing runs before its end')
    await wait(1_000)
  }
  await reaches(ns, ['Progressing'], 10)
  t.comment(`the run began ${((Date.now() - endsAt) / 1_000).toFixed(2)} s after the window's end`)
  t.ok(Date.now() >= endsAt - 50, 'not before')
  await reaches(ns, ['Succeeded'], 60)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
  t.equal((await told(ns, 'CanaryHeldByPolicy')).length, 1, 'told once')
})

test('a window that denies refuses the change', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  await policy(t, [ns], { freeze: [{ name: 'always', start: '* * * * *', duration: '1h', mode: 'deny' }] })
  const { code, stderr } = await setImage(ns, 'shop:1.1')
  t.equal(code, 1)
  t.match(stderr, /changes are frozen by freeze window "always" until/)
  t.equal(await imageOf(ns, 'cart'), 'shop:1.0', 'nothing is stored')
})

test('with a limit of one, a second canary waits for the first', { skip }, async (t) => {
  const [first, second] = [await namespace(t), await namespace(t)]
  await Promise.all([first, second].map((ns) => adoptedShop(ns)))
  await policy(t, [first, second], { concurrency: { cluster: 1 } })
  await setImage(first, 'shop:1.1')
  await reaches(first, ['Progressing'], 10)
  await setImage(second, 'shop:1.1')
  await waitFor('the second to be told', async () => (await told(second, 'CanaryHeldByPolicy')).length > 0, 10)
  let both = 0
  const RUNNING = ['Progressing', 'Promoting', 'Finalising']
  await waitFor('both to be promoted', async () => {
    const [one, other] = [await phase(first), await phase(second)]
    if (RUNNING.includes(one) && RUNNING.includes(other)) both += 1
    return one === 'Succeeded' && other === 'Succeeded'
  }, 90)
  t.equal(both, 0, 'never two at once')
  t.match((await told(second, 'CanaryHeldByPolicy'))[0]?.message, /1 canary may run at once in the cluster: it waits for its turn/)
})

test('without the verb nobody promotes, with it and a reason one does, and no name can be forged', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, { analysis: { interval: '60s', threshold: 2, stepWeights: [50] } })
  await policy(t, [ns], { authority: 'enforced' })
  await user(t, ns, 'alice', [])
  await user(t, ns, 'bob', ['promote'])
  await setImage(ns, 'shop:1.1')
  await reaches(ns, ['Progressing'], 10)
  const refusals = async (count: number) => waitFor(`refusal ${count}`, async () => {
    const found = await told(ns, 'CanaryCommandRefused')
    return found.reduce((sum, event) => sum + event.count, 0) >= count && found.at(-1)?.message
  }, 10)
  t.equal((await annotate(ns, 'alice', 'promote=it is fine')).code, 0, 'she may edit the Canary')
  t.match(await refusals(1), /promote by alice: it is fine refused: alice lacks the verb promote on canaries\.flagger\.app/)
  t.equal((await annotate(ns, 'alice', 'promote=bob says so', 'promote-by=bob')).code, 0)
  t.match(await refusals(2), /promote by alice: bob says so refused: alice lacks the verb/, 'signed with her own name')
  t.equal((await annotate(ns, 'bob', 'promote=true')).code, 0)
  t.match(await refusals(3), /promote by bob refused: it needs a reason/)
  t.equal(await phase(ns), 'Progressing')
  await waitFor('the annotation to be taken away', async () => (await getCanary(ns))?.metadata.annotations?.['canarygate.dev/promote'] === undefined, 5)
  t.equal((await annotate(ns, 'bob', 'promote=the incident needs it')).code, 0)
  await reaches(ns, ['Succeeded'], 60)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
  t.match((await getCanary(ns))?.status?.gate?.audit, [
    { by: 'alice', command: 'promote', reason: 'it is fine', refused: /lacks the verb/ }, { by: 'alice', refused: /lacks the verb/ },
    { by: 'bob', refused: /needs a reason/ }, { by: 'bob', command: 'promote', reason: 'the incident needs it', rule: /verb promote/ },
  ])
})

test('with the webhook gone, static faults and forged names are still refused, and Deployments update freely', { skip }, async (t) => {
  const [gated, plain] = [await namespace(t), await namespace(t, { gated: false })]
  await adoptedShop(gated)
  await deployShop(plain)
  await user(t, gated, 'alice', [])
  const back = async () => {
    await kubectl('-n', 'canarygate', 'scale', 'deployment/canarygate-webhook', '--replicas=2')
    await run(['-n', 'canarygate', 'rollout', 'status', 'deployment/canarygate-webhook', '--timeout=90s'], { timeoutMs: 100_000 })
  }
  t.teardown(back)
  await kubectl('-n', 'canarygate', 'scale', 'deployment/canarygate-webhook', '--replicas=0')
  await kubectl('-n', 'canarygate', 'delete', 'pods', '-l', 'app.kubernetes.io/component=webhook', '--grace-period=0', '--force', '--ignore-not-found')
  const fault = { ...canary(gated), spec: { ...canary(gated).spec, analysis: { interval: '30s', threshold: 0, stepWeight: 500 } } }
  // The webhook fails closed for Canaries too, but the API server's own policies are asked before, and say why.
  const refused = await waitFor('the last webhook to be gone', async () => { const answer = await apply(fault); return answer.stderr.includes('ValidatingAdmissionPolicy') && answer }, 60)
  t.equal(refused.code, 1)
  t.match(refused.stderr, /ValidatingAdmissionPolicy 'canarygate-static'.* denied request: spec\.analysis\.\w+: /)
  t.comment(refused.stderr.slice(0, 300))
  const forged = await annotate(gated, 'alice', 'promote=please', 'promote-by=bob')
  t.equal(forged.code, 1)
  t.match(forged.stderr, /nobody signs a command for somebody else/)
  t.equal((await run(['--as', 'alice', '-n', gated, 'annotate', 'canary/cart', 'canarygate.dev/pause=a look', '--dry-run=server'])).code, 0, 'an unsigned one passes')
  const free = await setImage(plain, 'shop:1.1')
  t.equal(free.code, 0, free.stderr)
  t.ok(free.seconds < 5, `it took ${free.seconds.toFixed(2)} s`)
  t.equal((await run(['-n', plain, 'rollout', 'status', 'deployment/cart', '--timeout=60s'])).code, 0)
  t.equal((await setImage(gated, 'shop:1.1')).code, 0, 'an adopted target is gated by the agent')
  await reaches(gated, ['Succeeded'], 90)
  await back()
  const again = await waitFor('the webhook to judge again', async () => { const answer = await apply(fault); return answer.stderr.includes('weight-bounds') && answer }, 30)
  t.match(again.stderr, /denied the request/)
})
