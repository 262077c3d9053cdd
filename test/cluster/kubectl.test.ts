import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import type { KubeObject } from '#api/objects.ts'
import {
  adoptedShop, annotationsOf, applyYaml, beginBesideOthers, canary, deployment, events, getCanary, imageOf, kubectl, namespace, phase, reaches, run, serviceUrl, shop, skip,
  startLoad, waitFor,
} from '../scene.ts'

/** The ordinary commands, typed by somebody who has never heard of CanaryGate, on a target that it has adopted. */
await beginBesideOthers(t)
// Each case has its own namespace and mostly waits.
t.jobs = 3

const GATE = 'canarygate.dev/gate'
const REPLICAS = 'canarygate.dev/replicas'
const LONG_STEPS = { analysis: { interval: '60s', threshold: 2, stepWeights: [50] } }

const status = (ns: string, timeout = 60) => run(['-n', ns, 'rollout', 'status', 'deployment/cart', `--timeout=${timeout}s`], { timeoutMs: (timeout + 10) * 1_000 })
const setImage = (ns: string, image: string) => run(['-n', ns, 'set', 'image', 'deployment/cart', `cart=${image}`])
const generation = async (ns: string) => (await deployment(ns, 'cart'))?.metadata.generation
const reasons = async (ns: string) => (await events(ns)).filter(({ kind }) => kind === 'Canary').map(({ reason }) => reason)
const list = (...items: readonly object[]) => JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
async function primaryPods(ns: string): Promise<readonly string[]> {
  const { items } = JSON.parse(await kubectl('-n', ns, 'get', 'pods', '-l', 'canarygate.dev/role=primary', '-o', 'json')) as { readonly items: readonly KubeObject[] }
  return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined).map(({ metadata }) => metadata.name)
}
/** Somebody has set the image, and the canary gets requests. */
async function inMidRun(ns: string): Promise<void> {
  await setImage(ns, 'shop:1.1')
  await waitFor('the canary to have weight', async () => ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0, 30)
}
async function promoted(ns: string, image: string): Promise<void> {
  await setImage(ns, image)
  await reaches(ns, ['Succeeded'], 60)
}
/** A revision whose pods never get ready. */
async function rolledBack(ns: string): Promise<void> {
  await setImage(ns, 'shop:unready')
  await reaches(ns, ['Failed'], 60)
}
/** After an adoption its controllers still write the target's status (ms). */
const SETTLE_MS = 3_000
const HASTY = { progressDeadlineSeconds: 6 }

test('rollout status waits through the canary and exits 0 after the promotion', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const set = await setImage(ns, 'shop:1.1')
  t.match(set.stderr, /^Warning: CanaryGate: shop:1\.1 is held as revision \w+; canary 50% in 1 step of 3s, then promotion/)
  const { code, stdout, seconds } = await status(ns)
  t.equal(code, 0, stdout)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1', 'it ended after the promotion, not before')
  t.ok(seconds >= 3, `it waited ${seconds.toFixed(1)} s`)
  t.equal((await status(ns, 5)).code, 0, 'and asked again it says so at once')
  await waitFor('the promotion to be told', async () => (await reasons(ns)).includes('CanarySucceeded'), 10)
  // Nobody used the shop, which the judge tells; and a slow machine's pods may be waited for.
  const besides = ['CanaryInconclusive', 'CanaryNotReady', 'CanaryPrimaryNotReady']
  t.strictSame((await reasons(ns)).filter((reason) => !besides.includes(reason)), [
    'CanaryInitialized', 'CanaryStarted', 'CanaryAnalysisStarting', 'CanaryAdvanced', 'CanaryPromoting', 'CanaryRouted', 'CanarySucceeded',
  ], 'one event for each thing that happened')
})

test('rollout status exits non-zero after a rollback by failing requests, and says why', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, { gate: { judge: { mode: 'enforce' } }, analysis: { interval: '20s', threshold: 1, stepWeights: [50] } })
  const load = startLoad(t, { url: await serviceUrl(ns), rate: 30, keepAlive: false })
  await setImage(ns, 'shop:broken')
  const { code, stderr } = await status(ns)
  await load.stop()
  t.equal(code, 1)
  t.match(stderr, /exceeded its progress deadline/)
  t.match((await annotationsOf(ns))[GATE], /^failed: canary fails \d+ % of \d+ requests/)
  t.match((await deployment(ns, 'cart'))?.status?.conditions?.find(({ type }) => type === 'Progressing'), { status: 'False', message: /canary fails/ })
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.0')
})

test('rollout undo after a rollback goes back to what serves, without another run', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, HASTY)
  await rolledBack(ns)
  t.equal((await status(ns)).code, 1)
  const undo = await run(['-n', ns, 'rollout', 'undo', 'deployment/cart'])
  t.equal(undo.code, 0)
  t.match(undo.stderr, /which serves now: there is nothing to analyse/)
  t.equal((await status(ns, 20)).code, 0)
  t.equal(await imageOf(ns, 'cart'), 'shop:1.0')
  t.equal((await annotationsOf(ns))[GATE], 'passed')
  t.equal((await reasons(ns)).filter((reason) => reason === 'CanaryStarted').length, 1)
})

test('rollout undo after a promotion is a run of the earlier revision', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  await promoted(ns, 'shop:1.1')
  const undo = await run(['-n', ns, 'rollout', 'undo', 'deployment/cart'])
  t.match(undo.stderr, /shop:1\.0 is held as revision/)
  t.equal((await status(ns)).code, 0)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.0')
  await reaches(ns, ['Succeeded'], 10)
  t.equal((await events(ns)).find(({ reason }) => reason === 'CanarySucceeded')?.count, 2)
})

test('rollout undo in mid-run aborts it', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, LONG_STEPS)
  await inMidRun(ns)
  const undo = await run(['-n', ns, 'rollout', 'undo', 'deployment/cart'])
  t.match(undo.stderr, /the analysis under way is aborted/)
  t.equal((await status(ns, 20)).code, 0, 'what is asked for serves')
  await reaches(ns, ['Failed'], 10)
  t.match(await getCanary(ns), { status: { canaryWeight: 0 } })
  t.ok((await reasons(ns)).includes('CanaryAborted'))
  t.equal((await annotationsOf(ns))[GATE], 'passed')
})

test('rollout restart gives the primary new pods, without an analysis', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const before = await primaryPods(ns)
  const restart = await run(['-n', ns, 'rollout', 'restart', 'deployment/cart'])
  t.equal(restart.code, 0)
  t.match(restart.stderr, /this restarts the primary/)
  t.equal((await status(ns)).code, 0)
  const after = await primaryPods(ns)
  t.ok(after.length === 1 && after[0] !== before[0], `${before.join()} -> ${after.join()}: when it says so, the new pods serve`)
  t.equal(await phase(ns), 'Initialized')
  t.notOk((await reasons(ns)).includes('CanaryStarted'))
})

test('rollout history tells the images that were asked for', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  await promoted(ns, 'shop:1.1')
  t.match(await kubectl('-n', ns, 'rollout', 'history', 'deployment/cart', '--revision=1'), /shop:1\.0/)
  t.match(await kubectl('-n', ns, 'rollout', 'history', 'deployment/cart', '--revision=2'), /shop:1\.1/)
})

test('scale reaches the primary, and the target goes back to 0', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  t.equal((await run(['-n', ns, 'scale', 'deployment/cart', '--replicas=2'])).code, 0)
  await waitFor('two pods of the primary', async () => (await deployment(ns, 'cart-primary'))?.status?.readyReplicas === 2, 30)
  await waitFor('the template at 0', async () => (await deployment(ns, 'cart'))?.spec.replicas === 0, 10)
  t.equal((await annotationsOf(ns))[REPLICAS], '2')
  t.equal((await status(ns, 20)).code, 0)
  t.notOk((await reasons(ns)).includes('CanaryStarted'))

  const zero = await run(['-n', ns, 'scale', 'deployment/cart', '--replicas=0'])
  t.equal(zero.code, 1, 'it would say "scaled" and stop nothing')
  t.match(zero.stderr, /template at 0 replicas.*annotate deployment\/cart canarygate\.dev\/replicas=0/s)
  await kubectl('-n', ns, 'annotate', 'deployment/cart', `${REPLICAS}=0`, '--overwrite')
  await waitFor('no pod of the primary', async () => (await deployment(ns, 'cart-primary'))?.spec.replicas === 0, 20)
  t.equal((await run(['-n', ns, 'scale', 'deployment/cart', '--replicas=1'])).code, 0)
  await waitFor('one pod of the primary', async () => (await deployment(ns, 'cart-primary'))?.status?.readyReplicas === 1, 30)
})

test('scale and set image of a generated workload are refused with the right command', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const scaled = await run(['-n', ns, 'scale', 'deployment/cart-primary', '--replicas=2'])
  t.equal(scaled.code, 1)
  t.match(scaled.stderr, /scale deployment\/cart instead/)
  const set = await run(['-n', ns, 'set', 'image', 'deployment/cart-primary', 'cart=shop:1.1'])
  t.equal(set.code, 1)
  t.match(set.stderr, /set the image of deployment\/cart instead/)
})

test('set env is a run', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const set = await run(['-n', ns, 'set', 'env', 'deployment/cart', 'GREETING=hello'])
  t.match(set.stderr, /the change of deployment\/cart is held as revision/)
  t.equal((await status(ns)).code, 0)
  t.match((await deployment(ns, 'cart-primary'))?.spec.template.spec.containers[0]?.['env'], [{ name: 'GREETING', value: 'hello' }])
})

for (const [words, flags] of [['apply', []], ['apply --server-side', ['--server-side']]] as const) {
  test(`${words} of a changed manifest is a run; unchanged, it changes nothing and diff is empty`, { skip }, async (t) => {
    const ns = await namespace(t)
    const manifest = (image: string) => ({ input: list(...shop(ns, { image })) })
    const apply = (image: string) => run(['apply', ...flags, '-f', '-'], manifest(image))
    await apply('shop:1.0')
    await waitFor('the shop to be ready', async () => (await deployment(ns, 'cart'))?.status?.readyReplicas === 1, 30)
    await applyYaml(canary(ns))
    await reaches(ns, ['Initialized'], 30)

    for (const image of ['shop:1.0', 'shop:1.1']) {
      const first = await apply(image)
      t.equal(first.code, 0, first.stderr)
      t.equal((await status(ns)).code, 0)
      await reaches(ns, ['Initialized', 'Succeeded'], 10)
      const before = await generation(ns)
      const again = await apply(image)
      t.equal(again.code, 0, again.stderr)
      t.equal(again.stderr, '', 'and it says nothing')
      t.equal(await generation(ns), before, `the generation stays ${before}`)
      const diff = await run(['diff', ...flags, '-f', '-'], manifest(image))
      t.strictSame([diff.code, diff.stdout], [0, ''], 'diff is empty')
      t.match((await deployment(ns, 'cart'))?.spec.replicas, 0)
    }
    t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
    const { selector } = JSON.parse(await kubectl('-n', ns, 'get', 'service', 'cart', '-o', 'jsonpath={.spec}')) as { selector: object }
    t.strictSame(selector, { app: 'cart', 'canarygate.dev/role': 'primary' }, 'the Service goes on selecting who serves')
  })
}

test('a re-apply in mid-run leaves the run alone', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, LONG_STEPS)
  await inMidRun(ns)
  for (const flags of [[], ['--server-side', '--force-conflicts']]) {
    const again = await run(['apply', ...flags, '-f', '-'], { input: list(...shop(ns, { image: 'shop:1.1' })) })
    t.equal(again.code, 0, again.stderr)
    t.equal((await annotationsOf(ns))[GATE], 'pending')
  }
  t.match(await getCanary(ns), { status: { phase: 'Progressing', canaryWeight: 50 } })
  t.equal((await reasons(ns)).filter((reason) => reason === 'CanaryStarted').length, 1)
})

test('replace with a manifest that knows nothing of us keeps our annotations', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const [target] = shop(ns, { image: 'shop:1.1' })
  const before = await annotationsOf(ns)
  // kubectl reads the version that it replaces: a status written in between is a conflict, as for any Deployment.
  const replaced = await waitFor('a replace without a conflict', async () => {
    const answer = await run(['replace', '-f', '-'], { input: JSON.stringify(target) })
    return !answer.stderr.includes('(Conflict)') && answer
  }, 20)
  t.equal(replaced.code, 0, replaced.stderr)
  t.match(replaced.stderr, /shop:1\.1 is held/)
  t.match(await deployment(ns, 'cart'), { spec: { replicas: 0 }, metadata: { annotations: { [REPLICAS]: before[REPLICAS] ?? '?' } } })
  t.equal((await status(ns)).code, 0)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
})

test('patches of all three types are runs, as those of edit are', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const patches = [
    ['strategic', 'shop:1.1', { spec: { template: { spec: { containers: [{ name: 'cart', image: 'shop:1.1' }] } } } }],
    ['json', 'shop:1.2', [{ op: 'replace', path: '/spec/template/spec/containers/0/image', value: 'shop:1.2' }, { op: 'replace', path: '/spec/replicas', value: 1 }]],
    ['merge', 'with a mark', { spec: { template: { metadata: { annotations: { mark: 'merge' } } } } }],
  ] as const
  for (const [type, what, patch] of patches) {
    const { code, stderr } = await run(['-n', ns, 'patch', 'deployment', 'cart', '--type', type, '-p', JSON.stringify(patch)])
    t.equal(code, 0, stderr)
    t.match(stderr, /is held as revision/, type)
    t.equal((await status(ns)).code, 0, `${type}: ${what}`)
    t.match(await deployment(ns, 'cart'), { spec: { replicas: 0 } })
    await reaches(ns, ['Succeeded'], 10)
  }
  t.match(await deployment(ns, 'cart-primary'), { spec: { template: { metadata: { annotations: { mark: 'merge' } }, spec: { containers: [{ image: 'shop:1.2' }] } } } })
})

test('edit, with an editor that changes the image, is a run', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const edited = await run(['-n', ns, 'edit', 'deployment/cart'], { env: { KUBE_EDITOR: 'sed -i s/shop:1.0/shop:1.1/' } })
  t.equal(edited.code, 0, edited.stderr)
  t.match(edited.stderr, /shop:1\.1 is held/)
  t.equal((await status(ns)).code, 0)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
})

test('--dry-run=server answers with the plan and leaves no trace', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  await wait(SETTLE_MS)
  const before = await deployment(ns, 'cart')
  const told = (await events(ns)).length
  const dry = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1', '--dry-run=server'])
  t.equal(dry.code, 0)
  t.match(dry.stderr, /shop:1\.1 is held as revision \w+; canary 50% in 1 step of 3s, then promotion/)
  t.equal((await deployment(ns, 'cart'))?.metadata.resourceVersion, before?.metadata.resourceVersion)
  t.equal(await phase(ns), 'Initialized')
  t.equal((await events(ns)).length, told)
})

test('diff of a changed manifest shows the change, and of ours only the gate and the revision', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns)
  const { code, stdout } = await run(['diff', '-f', '-'], { input: list(...shop(ns, { image: 'shop:1.1' })) })
  t.equal(code, 1)
  const changed = stdout.split('\n').filter((line) => /^[-+] /.test(line) && !/generation:/.test(line)).map((line) => line.replace(/: .*/, '').replace(/^([-+]) +(- )?/, '$1 ')).toSorted()
  t.strictSame(changed, [
    '+ canarygate.dev/gate', '+ canarygate.dev/requested-by', '+ canarygate.dev/revision', '+ image', '- canarygate.dev/gate', '- canarygate.dev/revision', '- image',
  ])
})

test('a new image in mid-run replaces the one under analysis, and rollout status waits for the new one', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, { analysis: { interval: '6s', threshold: 2, stepWeights: [50] } })
  await inMidRun(ns)
  const set = await setImage(ns, 'shop:1.2')
  t.match(set.stderr, /shop:1\.2 is held.*this one replaces it/s)
  t.equal((await status(ns)).code, 0)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.2')
  t.ok((await reasons(ns)).includes('CanaryRestarted'))
})

test('what was rolled back is not tried again by asking for it again', { skip }, async (t) => {
  const ns = await namespace(t)
  await adoptedShop(ns, {}, HASTY)
  await rolledBack(ns)
  await setImage(ns, 'shop:1.0')
  t.equal((await status(ns, 20)).code, 0)
  const again = await setImage(ns, 'shop:unready')
  t.match(again.stderr, /was rolled back before and is not tried again/)
  t.equal((await status(ns, 20)).code, 1)
  t.equal((await reasons(ns)).filter((reason) => reason === 'CanaryStarted').length, 1)
})
