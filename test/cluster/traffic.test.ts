import { request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { t, test, type Test } from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'
import {
  answers, applyYaml, beginBesideOthers, canary, client, cluster, deployment, deployShop, events, getCanary, imageOf, kubectl, namespace, reaches, run, serviceUrl, shop, skip, startLoad, waitFor,
  type Load, type LoadSummary,
} from '../scene.ts'

/** What users get while releases go on: every strategy through a real router, measured where the users are. */
await beginBesideOthers(t)
// Each scene has its own namespace and users, and mostly waits.
t.jobs = 3

const RATE = 30
const PRE_STOP_SECONDS = 3
const SHOP = { replicas: 2, preStopSeconds: PRE_STOP_SECONDS }
/** The window is longer than the agent's time between two looks at the pods, or a busy machine would find nothing in it. */
const INTERVAL = { interval: '5s', threshold: 3, metrics: [{ name: 'request-success-rate', interval: '15s', thresholdRange: { min: 99 } }] }
/** Where the Gateway of the test cluster is. */
const GATEWAY = { name: 'traefik', namespace: 'traefik' }
/** Requests that a share is measured on. */
const SAMPLE = 500
/** Standard deviations of a fair draw that a measured share may be off: 1 in 1,000 by chance. Traefik deals in turn, so it is mostly much nearer. */
const SIGMAS = 3.3

type Provider = NonNullable<CanarySpec['provider']>

const setImage = (ns: string, image: string) => run(['-n', ns, 'set', 'image', 'deployment/cart', `cart=${image}`])
const annotate = (ns: string, ...annotations: readonly string[]) => kubectl('-n', ns, 'annotate', 'canary', 'cart', ...annotations)
const reasons = async (ns: string): Promise<readonly string[]> => (await events(ns)).filter(({ kind }) => kind === 'Canary').map(({ reason }) => reason)
const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

/** Answers by version, since the start. */
function versionsOf(load: Load): Readonly<Record<string, number>> {
  const versions: Record<string, number> = {}
  for (const [key, count] of Object.entries(load.sofar())) versions[key.split(' ')[0] ?? ''] = (versions[key.split(' ')[0] ?? ''] ?? 0) + count
  return versions
}

/** What users get from now on, until there are enough answers. */
async function sample(load: Load, size = SAMPLE): Promise<Readonly<Record<string, number>>> {
  await wait(1_500) // counts come once a second
  const before = versionsOf(load)
  const since = (): Readonly<Record<string, number>> =>
    Object.fromEntries(Object.entries(versionsOf(load)).map(([version, count]) => [version, count - (before[version] ?? 0)] as const).filter(([, count]) => count > 0))
  return await waitFor(`${size} answers`, async () => { const seen = since(); return sum(seen) >= size && seen }, 90, 500)
}

/** The status says so, and the router has: the weight that was asked for is in force. */
async function inForce(ns: string, routes: string): Promise<void> {
  await waitFor(`routes ${routes} in force`, async () => {
    const gate = (await getCanary(ns))?.status?.gate
    return gate?.routesFor === routes && gate.routesAt !== undefined
  }, 60)
}

async function weightIs(t: Test, ns: string, load: Load, weight: number, version: string): Promise<void> {
  await inForce(ns, `${100 - weight}/${weight}`)
  const seen = await sample(load)
  const total = sum(seen)
  const share = (100 * (seen[version] ?? 0)) / total
  const bound = 100 * SIGMAS * Math.sqrt((weight / 100) * (1 - weight / 100) / total)
  t.comment(`asked ${weight} %, served ${share.toFixed(2)} % of ${total} requests, bound ${bound.toFixed(1)}`)
  t.ok(Math.abs(share - weight) <= bound, `${share.toFixed(2)} % is within ${bound.toFixed(1)} of ${weight} %`)
}

/** The users leave; nothing of theirs failed but what a bad version itself answered. */
async function settle(t: Test, load: Load, what: string, bad?: string): Promise<LoadSummary> {
  await wait(PRE_STOP_SECONDS * 1_000 + 1_000) // what was let go is gone by now
  const summary = await load.stop()
  const own = bad === undefined ? 0 : summary.byVersionAndCode[`${bad} 500`] ?? 0
  t.comment(`${what}: ${summary.total} requests, ${summary.failed - own} failed${bad === undefined ? '' : `, ${own} answered 500 by ${bad} itself`}; ${JSON.stringify(summary.byVersionAndCode)}`)
  t.equal(summary.failed - own, 0, `${what}: 0 of ${summary.total} requests failed ${JSON.stringify([summary.errors, summary.lastError])}`)
  return summary
}

const ingressRoute = (ns: string, host: string): KubeObject => ({
  apiVersion: 'traefik.io/v1alpha1', kind: 'IngressRoute', metadata: { name: 'web', namespace: ns },
  spec: { entryPoints: ['web'], routes: [{ kind: 'Rule', match: `Host(\`${host}\`)`, services: [{ kind: 'Service', name: 'cart', port: 80 }] }] },
})
const httpRoute = (ns: string, host: string): KubeObject => ({
  apiVersion: 'gateway.networking.k8s.io/v1', kind: 'HTTPRoute', metadata: { name: 'web', namespace: ns },
  spec: { parentRefs: [GATEWAY], hostnames: [host], rules: [{ backendRefs: [{ name: 'cart', port: 80 }] }] },
})

type Scene = { readonly ns: string; readonly load: Load; readonly host: string; readonly url: string; readonly route: KubeObject | undefined }
type SceneSettings = { readonly provider: Provider; readonly route?: (ns: string, host: string) => KubeObject; readonly shop?: Parameters<typeof deployShop>[1] }

/** A shop that people use already when its Canary comes; without a route of the owner's the one that CanaryGate makes is waited for. */
async function scene(t: Test, { provider, route, shop = SHOP }: SceneSettings, spec: Partial<CanarySpec>): Promise<Scene> {
  const ns = await namespace(t, { gated: false })
  const host = `${ns}.example.org`
  await deployShop(ns, shop)
  const made = route?.(ns, host)
  if (made) await applyYaml(made)
  const isDirect = provider === 'kubernetes'
  const url = isDirect ? await serviceUrl(ns) : cluster().traefikUrl
  const users = (): Load => startLoad(t, { url, rate: RATE, ...(isDirect ? { keepAlive: false } : { host }) })
  const own = canary(ns, { provider, progressDeadlineSeconds: 20, analysis: { ...INTERVAL, stepWeights: [50] }, ...spec })
  const service = { port: 80, targetPort: 'http', ...(provider.startsWith('gatewayapi') ? { gatewayRefs: [GATEWAY], hosts: [host] } : {}) }
  if (made) await waitFor(`${host} to answer`, () => answers(url, host), 60)
  const early = isDirect || made ? users() : undefined
  if (early) await wait(1_000)
  await applyYaml({ ...own, spec: { ...own.spec, service } })
  await reaches(ns, ['Initialized'], 120)
  return { ns, host, url, load: early ?? users(), route: made && await live(made) }
}

async function live({ apiVersion, kind, metadata: { name, namespace = '' } }: KubeObject): Promise<KubeObject | undefined> {
  return (await client()).get({ apiVersion, kind, namespace, name })
}

const HOLDING = { gate: { steps: [{ weight: 20, hold: true }, { weight: 50, hold: true }] }, analysis: INTERVAL }
const resume = (ns: string, why: string) => annotate(ns, `canarygate.dev/resume=${why}`)

for (const { name, provider, route } of [
  { name: 'an IngressRoute of the owner\'s', provider: 'traefik', route: ingressRoute },
  { name: 'an HTTPRoute of our own', provider: 'gatewayapi:v1', route: undefined },
] as const) {
  test(`${provider}, ${name}: adopted, promoted, rolled back, overtaken, aborted and deleted under load`, { skip }, async (t) => {
    const { ns, load, route: before } = await scene(t, { provider, ...(route ? { route } : {}) }, HOLDING)
    await setImage(ns, 'shop:1.1')
    await weightIs(t, ns, load, 20, '1.1')
    await resume(ns, 'looks good')
    await weightIs(t, ns, load, 50, '1.1')
    await resume(ns, 'still does')
    await reaches(ns, ['Succeeded'], 60)
    t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
    if (before) t.strictSame((await live(before))?.['spec'], before['spec'], 'at rest the route stands as its owner wrote it')

    await setImage(ns, 'shop:broken')
    await waitFor('the broken one to have weight', async () => ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0, 60)
    await reaches(ns, ['Failed'], 60)
    t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1', 'the primary is untouched')

    await setImage(ns, 'shop:1.2')
    await inForce(ns, '80/20')
    await waitFor('1.2 to answer somebody', async () => (load.sofar()['1.2 200'] ?? 0) > 0, 20)
    await setImage(ns, 'shop:1.0')
    await waitFor('the analysis of the newer one', async () => (await reasons(ns)).includes('CanaryRestarted'), 20)
    await waitFor('the newer one to get requests', async () => (await imageOf(ns, 'cart-canary')) === 'shop:1.0' && ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0, 60)
    await annotate(ns, 'canarygate.dev/abort=enough')
    await reaches(ns, ['Failed'], 20)
    t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')

    const deleted = await run(['-n', ns, 'delete', 'canary', 'cart', '--timeout=60s'])
    t.equal(deleted.code, 0, deleted.stderr)
    t.equal(await imageOf(ns, 'cart'), 'shop:1.1')
    const { byVersion } = await settle(t, load, `${provider}, ${name}`, 'broken')
    for (const version of ['1.0', '1.1', '1.2', 'broken']) t.ok((byVersion[version] ?? 0) > 0, `${version} had answered ${byVersion[version] ?? 0}`)
  })
}

test('gatewayapi, an HTTPRoute of the owner\'s: taken over in place, and a promotion that fails gives the primary its template back', { skip }, async (t) => {
  const { ns, load, route: before } = await scene(t, { provider: 'gatewayapi:v1', route: httpRoute }, { ...HOLDING, progressDeadlineSeconds: 8, gate: { steps: [{ weight: 50, hold: true }] } })
  t.match(before?.['spec'], { rules: [{ backendRefs: [{ name: 'cart' }] }] }, 'while nothing runs it is as its owner wrote it')
  await setImage(ns, 'shop:1.1')
  await inForce(ns, '50/50')
  t.match((await live(before as KubeObject))?.['spec'], { rules: [{ backendRefs: [{ name: 'cart-primary', weight: 50 }, { name: 'cart-canary', weight: 50 }] }] })
  t.equal((await run(['-n', ns, 'get', 'httproute', 'cart'])).code, 1, 'there is no route beside it')
  // Room for the pods that are there, and none for those of a promotion.
  await applyYaml({ apiVersion: 'v1', kind: 'ResourceQuota', metadata: { name: 'full', namespace: ns }, spec: { hard: { pods: '4' } } })
  await resume(ns, 'promote it')
  await reaches(ns, ['Promoting'], 30)
  await reaches(ns, ['Failed'], 60)
  const told = await waitFor('the event', async () => (await events(ns)).find(({ reason }) => reason === 'CanaryPromotionFailed'), 10) // told after the phase is stored
  t.match(told.message, /Promotion of cart\..* failed, primary not ready/)
  t.comment(told.message)
  await waitFor('the primary to be as before', async () => {
    const primary = await deployment(ns, 'cart-primary')
    return primary?.spec.template.spec.containers[0]?.image === 'shop:1.0' && primary.status?.['updatedReplicas'] === 2 && primary.status.readyReplicas === 2
  }, 60)
  await inForce(ns, '100/0')
  t.strictSame((await live(before as KubeObject))?.['spec'], before?.['spec'], 'and the route is as its owner wrote it')
  await settle(t, load, 'a promotion that fails')
})

const INNER = { ...INTERVAL, iterations: 2, match: [{ headers: { 'x-ring': { exact: 'inner' } } }, { headers: { cookie: { regex: '^(.*?;\\s*)?(ring=inner)(;.*)?$' } } }] }

for (const { provider, route } of [{ provider: 'traefik', route: ingressRoute }, { provider: 'gatewayapi:v1', route: httpRoute }] as const) {
  test(`${provider}: an A/B test gives the canary those whom its header or cookie chooses, and nobody else`, { skip }, async (t) => {
    const { ns, load, host, url, route: before } = await scene(t, { provider, route }, { analysis: INNER, gate: { atMaxWeight: 'wait' } })
    const chosen = [startLoad(t, { url, host, rate: RATE / 2, header: 'x-ring: inner' }), startLoad(t, { url, host, rate: RATE / 2, header: 'Cookie: a=b; ring=inner' })]
    const others = startLoad(t, { url, host, rate: RATE / 2, header: 'Cookie: ring=outer' })
    await setImage(ns, 'shop:1.1')
    await reaches(ns, ['WaitingPromotion'], 60)
    const [everybody, outer, ...inner] = await Promise.all([load, others, ...chosen].map((each) => sample(each, SAMPLE / 4)))
    t.comment(`everybody ${JSON.stringify(everybody)}, cookie of others ${JSON.stringify(outer)}, header ${JSON.stringify(inner[0])}, cookie ${JSON.stringify(inner[1])}`)
    t.strictSame([everybody, outer].map((seen) => Object.keys(seen ?? {})), [['1.0'], ['1.0']], 'without it all are served by the primary')
    t.strictSame(inner.map((seen) => Object.keys(seen)), [['1.1'], ['1.1']], 'with it all are served by the canary')
    await annotate(ns, 'canarygate.dev/promote=chosen ones are happy')
    await reaches(ns, ['Succeeded'], 60)
    t.strictSame((await live(before as KubeObject))?.['spec'], before?.['spec'], 'afterwards the route is as its owner wrote it')
    const told = await events(ns)
    t.strictSame(told.filter(({ reason }) => reason === 'CanaryAdvanced').map(({ message }) => message.replace(/cart\.\S+/, 'cart')), ['Advance cart canary iteration 1/2', 'Advance cart canary iteration 2/2'])
    for (const each of [load, others, ...chosen]) await settle(t, each, `${provider}, A/B`)
  })
}

/** Requests that pods have counted. */
async function countedBy(ns: string, role: string): Promise<number> {
  const { items } = await (await client()).list<KubeObject & { readonly status?: { readonly podIP?: string } }>('v1', 'Pod', { namespace: ns, labelSelector: `canarygate.dev/role=${role}` })
  const pages = await Promise.all(items.flatMap(({ status }) => (status?.podIP === undefined ? [] : [fetch(`http://${status.podIP}:8080/metrics`, { signal: AbortSignal.timeout(5_000) }).then((page) => page.text())])))
  return pages.join('\n').split('\n').filter((line) => line.startsWith('http_requests_total')).reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
}

test('traefik: before the first weight the canary sees copies, and users only the answers of the primary', { skip }, async (t) => {
  const { ns, load, route: before } = await scene(t, { provider: 'traefik', route: ingressRoute }, { analysis: { ...INTERVAL, interval: '10s', stepWeights: [50], mirror: true } })
  await setImage(ns, 'shop:1.1')
  await inForce(ns, '100/0+mirror')
  const copies = await waitFor('copies', async () => { const count = await countedBy(ns, 'canary'); return count >= RATE && count }, 20)
  const users = versionsOf(load)
  t.equal((await getCanary(ns))?.status?.canaryWeight, 0, 'no weight yet')
  t.comment(`copies counted by the canary: ${copies}; users got ${JSON.stringify(users)}`)
  t.strictSame(Object.keys(users), ['1.0'])
  await reaches(ns, ['Succeeded'], 90)
  t.strictSame((await live(before as KubeObject))?.['spec'], before?.['spec'], 'afterwards the route is as its owner wrote it')
  const { byVersion } = await settle(t, load, 'mirror')
  t.ok((byVersion['1.1'] ?? 0) > 0)
})

test('plain Kubernetes: Blue/Green switches the Service itself, and back when the primary has rolled', { skip }, async (t) => {
  const { ns, load } = await scene(t, { provider: 'kubernetes' }, { analysis: { ...INTERVAL, interval: '6s', iterations: 2 } })
  const role = async () => (await kubectl('-n', ns, 'get', 'service', 'cart', '-o', 'jsonpath={.spec.selector.canarygate\\.dev/role}'))
  // Nobody but a tester reaches the canary before the switch: without requests there is nothing to check.
  await setImage(ns, 'shop:1.1')
  await waitFor('pods of the canary', async () => (await deployment(ns, 'cart-canary'))?.status?.readyReplicas === 2, 60)
  startLoad(t, { url: await serviceUrl(ns, 'cart-canary'), rate: 10, keepAlive: false })
  await waitFor('iteration 2', async () => (await getCanary(ns))?.status?.iterations === 2, 60)
  t.equal(await role(), 'primary')
  t.strictSame(Object.keys(versionsOf(load)), ['1.0'], 'while it is checked no request reaches it')
  await waitFor('the switch', async () => (await role()) === 'canary', 60)
  await inForce(ns, '0/100')
  await reaches(ns, ['Succeeded'], 90)
  t.equal(await role(), 'primary')
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.1')
  t.ok((await reasons(ns)).filter((reason) => reason === 'CanaryRouted').length === 2, 'to the canary and back')
  await settle(t, load, 'Blue/Green on plain Kubernetes')
})

test('stepWeight up to maxWeight, then a wait for approval; skipAnalysis, and an image that there is not', { skip }, async (t) => {
  const { ns, load } = await scene(t, { provider: 'traefik', route: ingressRoute }, { analysis: { ...INTERVAL, stepWeight: 20, maxWeight: 50 }, gate: { atMaxWeight: 'wait' } })
  await setImage(ns, 'shop:1.1')
  await reaches(ns, ['WaitingPromotion'], 90)
  const advanced = (await events(ns)).filter(({ reason }) => reason === 'CanaryAdvanced').map(({ message }) => message.split(' ').at(-1))
  t.strictSame(advanced, ['20', '40', '50'], 'by steps, and never above the most')
  await weightIs(t, ns, load, 50, '1.1')
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.0', 'it waits')
  await annotate(ns, 'flagger.app/promote=true')
  await reaches(ns, ['Succeeded'], 60)
  await kubectl('-n', ns, 'patch', 'canary', 'cart', '--type=merge', '-p', '{"spec":{"skipAnalysis":true}}')
  await setImage(ns, 'shop:1.2')
  await waitFor('the new one on the primary', async () => (await imageOf(ns, 'cart-primary')) === 'shop:1.2', 60)
  await reaches(ns, ['Succeeded'], 60)
  await waitFor('the event', async () => (await events(ns)).some(({ message }) => /Canary analysis was skipped/.test(message)), 10)
  await setImage(ns, 'shop:nowhere')
  await reaches(ns, ['Failed'], 120)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.2', 'the primary is untouched')
  t.match((await events(ns)).findLast(({ reason }) => reason === 'CanaryNotReady')?.message, /ErrImage|ImagePullBackOff/, 'and the event names the fault')
  await settle(t, load, 'a wait for approval, and skipAnalysis')
})

for (const { provider, route } of [{ provider: 'traefik', route: ingressRoute }, { provider: 'gatewayapi:v1', route: httpRoute }] as const) {
  test(`${provider}: an owner who applies the route anew in mid-run, a hand in its weights and a deleted Service are told and put right, and no request fails`, { skip }, async (t) => {
    const { ns, load, host, route: before } = await scene(t, { provider, route }, { ...HOLDING, gate: { steps: [{ weight: 20, hold: true }] } })
    await setImage(ns, 'shop:1.1')
    await inForce(ns, '80/20')
    const changes = async () => (await events(ns)).filter(({ reason }) => reason === 'CanaryRoutesChanged').reduce((total, { count }) => total + count, 0)
    const isSplit = async () => /"cart-canary"/.test(JSON.stringify((await live(before as KubeObject))?.['spec']))

    await applyYaml(route(ns, host))
    await waitFor('the first line about it', async () => (await changes()) >= 1, 30)
    await waitFor('the split', isSplit, 30)
    await inForce(ns, '80/20')
    const split = await live(before as KubeObject)
    const all = JSON.stringify(split?.['spec']).replaceAll('"weight":80', '"weight":0').replaceAll('"weight":20', '"weight":100')
    await kubectl('-n', ns, 'patch', before?.kind ?? '', 'web', '--type=merge', '-p', JSON.stringify({ spec: JSON.parse(all) as unknown }))
    await waitFor('the second line about it', async () => (await changes()) >= 2, 30)
    await inForce(ns, '80/20')
    t.strictSame((await live(before as KubeObject))?.['spec'], split?.['spec'], 'as it was before the hand')

    const uid = await kubectl('-n', ns, 'get', 'service', 'cart', '-o', 'jsonpath={.metadata.uid}')
    await kubectl('-n', ns, 'delete', 'service', 'cart')
    await waitFor('another Service', async () => { const now = await run(['-n', ns, 'get', 'service', 'cart', '-o', 'jsonpath={.metadata.uid}']); return now.code === 0 && now.stdout !== uid }, 30)
    await inForce(ns, '80/20')
    t.comment((await events(ns)).filter(({ reason }) => reason === 'CanaryRoutesChanged').map(({ message }) => message.replaceAll(ns, 'ns')).join('; '))
    await resume(ns, 'all is well again')
    await reaches(ns, ['Succeeded'], 60)
    t.strictSame((await live(before as KubeObject))?.['spec'], before?.['spec'])
    t.equal((await run(['-n', ns, 'wait', 'canary/cart', '--for=condition=routed', '--timeout=10s'])).code, 0, 'and it says that requests go where they should')
    await settle(t, load, `${provider}, hands in the routes`)
  })
}

/** One request as a browser with this cookie makes it. */
const ask = (url: string, host: string, cookie: string): Promise<{ readonly version: unknown; readonly setCookie: readonly string[] }> => new Promise((resolve, reject) => {
  request(url, { headers: { host, cookie }, agent: false, signal: AbortSignal.timeout(5_000) }, (answer) => {
    answer.resume()
    resolve({ version: answer.headers['x-version'], setCookie: answer.headers['set-cookie'] ?? [] })
  }).on('error', reject).end()
})

test('gatewayapi: a session\'s cookie is answered by its arm every time, and taken back after the run', { skip }, async (t) => {
  const analysis = { ...INTERVAL, sessionAffinity: { cookieName: 'arm', primaryCookieName: 'arm-primary' } }
  const { ns, load, host, url } = await scene(t, { provider: 'gatewayapi:v1' }, { ...HOLDING, analysis, gate: { steps: [{ weight: 50, hold: true }] } })
  await setImage(ns, 'shop:1.1')
  await inForce(ns, '50/50')
  const { sessionAffinityCookie: ofCanary = '', primarySessionAffinityCookie: ofPrimary = '' } = (await getCanary(ns))?.status ?? {}
  await waitFor('the router to know the cookie', async () => (await ask(url, host, ofCanary)).version === '1.1', 20)
  for (const [cookie, version] of [[ofCanary, '1.1'], [ofPrimary, '1.0']] as const) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => ask(url, host, `theme=dark; ${cookie}`)))
    t.strictSame(answers.map((answer) => answer.version), Array.from({ length: 10 }, () => version), `${cookie}: ${version} every time`)
  }
  await resume(ns, 'they like it')
  await reaches(ns, ['Succeeded'], 60)
  t.match((await getCanary(ns))?.status, { sessionAffinityCookie: undefined, previousSessionAffinityCookie: ofCanary })
  const { setCookie } = await waitFor('the cookie to be taken back', async () => { const answer = await ask(url, host, ofCanary); return answer.setCookie.length > 0 && answer }, 20)
  t.strictSame(setCookie, [`${ofCanary}; Max-Age=-1`])
  t.strictSame((await ask(url, host, 'arm=another')).setCookie, [], 'from nobody else')
  await settle(t, load, 'session affinity')
})

test('traefik, a core Service as target: its new selector is analysed and promoted, and no request fails', { skip }, async (t) => {
  const ns = await namespace(t, { gated: false })
  const host = `${ns}.example.org`
  const [blue, service] = shop(ns, { ...SHOP, image: 'shop:1.0' })
  const named = (name: string, image: string): KubeObject => JSON.parse(JSON.stringify({ ...blue, metadata: { ...blue.metadata, name, labels: { app: name } } })
    .replaceAll('"app":"cart"', `"app":"${name}"`).replace('shop:1.0', image)) as KubeObject
  await applyYaml(named('blue', 'shop:1.0'), named('green', 'shop:1.1'), { ...service, spec: { ...(service?.['spec'] as object), selector: { app: 'blue' } } }, ingressRoute(ns, host))
  for (const name of ['blue', 'green']) await waitFor(name, async () => (await deployment(ns, name))?.status?.readyReplicas === SHOP.replicas, 60)
  const { traefikUrl: url } = cluster()
  await waitFor(`${host} to answer`, () => answers(url, host), 60)
  const load = startLoad(t, { url, host, rate: RATE })
  const selectorOf = async (name: string): Promise<string> => await kubectl('-n', ns, 'get', 'service', name, '-o', 'jsonpath={.spec.selector.app}')
  await applyYaml(canary(ns, { provider: 'traefik', targetRef: { apiVersion: 'v1', kind: 'Service', name: 'cart' }, service: { port: 80, targetPort: 'http' }, analysis: { interval: '5s', threshold: 3 }, gate: { steps: [{ weight: 50, hold: true }] } } as never))
  await reaches(ns, ['Initialized'], 60)
  t.equal(await selectorOf('cart-primary'), 'blue')
  await kubectl('-n', ns, 'patch', 'service', 'cart', '--type=merge', '-p', '{"spec":{"selector":{"app":"green"}}}')
  await weightIs(t, ns, load, 50, '1.1')
  await resume(ns, 'green is good')
  await reaches(ns, ['Succeeded'], 60)
  t.equal(await selectorOf('cart-primary'), 'green')
  t.equal((await run(['-n', ns, 'delete', 'canary', 'cart', '--timeout=60s'])).code, 0)
  t.equal(await selectorOf('cart'), 'green')
  const { byVersion } = await settle(t, load, 'a core Service as target')
  t.ok((byVersion['1.0'] ?? 0) > 0 && (byVersion['1.1'] ?? 0) > 0)
})
