import { t, test } from 'tap'
import { adoptedShop, begin, canary, deployShop, kubectl, namespace, phase, reaches, run, skip, waitFor } from '../scene.ts'
import { annotate, apply, policy, setImage, told, user } from './governed.ts'

/** What concerns the whole cluster: a limit that counts everybody's canaries, and a webhook that is gone. */
await begin(t)

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
