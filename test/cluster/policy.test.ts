import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import { adoptedShop, beginBesideOthers, canary, getCanary, imageOf, namespace, phase, reaches, run, skip, waitFor } from '../scene.ts'
import { annotate, apply, policy, setImage, told, user, WATCH_MS } from './governed.ts'

/** Policies, with real users by RBAC: what they refuse and hold on a cluster. */
await beginBesideOthers(t)
t.jobs = 3

const MINUTE_MS = 60_000

const team = (ns: string, spec: object): KubeObject => ({ apiVersion: 'canarygate.dev/v1alpha1', kind: 'CanaryPolicy', metadata: { name: 'team', namespace: ns }, spec })

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
  const seconds = Math.ceil((now - start) / 1_000) + 20
  const { minute, hour } = { minute: new Date(start).getUTCMinutes(), hour: new Date(start).getUTCHours() }
  await policy(t, [ns], { freeze: [{ name: 'inventory', start: `${minute} ${hour} * * *`, duration: `${seconds}s`, timeZone: 'UTC' }] })
  const endsAt = start + seconds * 1_000
  const set = await setImage(ns, 'shop:1.1')
  t.equal(set.code, 0, 'the change is admitted')
  t.match(set.stderr, /is held by freeze window "inventory" until \S+Z/)
  await waitFor('the hold to be told', async () => (await told(ns, 'CanaryHeldByPolicy')).length > 0, 10)
  while (Date.now() < endsAt - 1_000) {
    t.equal(await phase(ns), 'Initialized', 'nothing runs before its end')
    await wait(1_000)
  }
  await reaches(ns, ['Progressing'], 30)
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

test('without the verb nobody promotes, with it and a reason one does, and no name can be forged', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, { analysis: { interval: '60s', threshold: 2, stepWeights: [50] } })
  await policy(t, [ns], { authority: 'enforced' })
  await user(t, ns, 'alice', [])
  await user(t, ns, 'bob', ['promote'])
  await setImage(ns, 'shop:1.1')
  await reaches(ns, ['Progressing'], 30)
  const refusals = async (count: number) => waitFor(`refusal ${count}`, async () => {
    const found = await told(ns, 'CanaryCommandRefused')
    return found.reduce((sum, event) => sum + event.count, 0) >= count && found.at(-1)?.message
  }, 30)
  t.equal((await annotate(ns, 'alice', 'promote=it is fine')).code, 0, 'she may edit the Canary')
  t.match(await refusals(1), /promote by alice: it is fine refused: alice lacks the verb promote on canaries\.flagger\.app/)
  t.equal((await annotate(ns, 'alice', 'promote=bob says so', 'promote-by=bob')).code, 0)
  t.match(await refusals(2), /promote by alice: bob says so refused: alice lacks the verb/, 'signed with her own name')
  t.equal((await annotate(ns, 'bob', 'promote=true')).code, 0)
  t.match(await refusals(3), /promote by bob refused: it needs a reason/)
  t.equal(await phase(ns), 'Progressing')
  await waitFor('the annotation to be taken away', async () => (await getCanary(ns))?.metadata.annotations?.['canarygate.dev/promote'] === undefined, 20)
  t.equal((await annotate(ns, 'bob', 'promote=the incident needs it', 'promote-at=2020-01-01T00:00:00Z')).code, 0, 'when it was given says the webhook, too')
  await reaches(ns, ['Succeeded'], 60)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
  t.match((await getCanary(ns))?.status?.gate?.audit, [
    { by: 'alice', command: 'promote', reason: 'it is fine', refused: /lacks the verb/ }, { by: 'alice', refused: /lacks the verb/ },
    { by: 'bob', refused: /needs a reason/ }, { by: 'bob', command: 'promote', reason: 'the incident needs it', rule: /verb promote/ },
  ])
})
