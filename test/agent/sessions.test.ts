import { test } from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import { controller, GATEWAY, HTTP_ROUTE, route } from './gateway.ts'
import { canary, cart, NAMESPACE, worldWith, type World } from './world.ts'

/** Session affinity, as Flagger's own suite looks at it: who was answered by an arm stays with it, and afterwards the cookie is taken back. */

const OWN = { provider: 'gatewayapi:v1', service: { port: 80, targetPort: 8080, gatewayRefs: [{ name: 'edge' }] } } satisfies Partial<CanarySpec>
const AFFINITY = { cookieName: 'canary-cookie', primaryCookieName: 'primary-cookie', path: '/' }
const ANALYSIS = { stepWeights: [10, 30], interval: '60s', sessionAffinity: AFFINITY }
const found = (world: World) => world.fake.object(GATEWAY, 'HTTPRoute', `${NAMESPACE}/cart`)
const at = (world: World, weight: number) => (): boolean => world.status().canaryWeight === weight && world.status().conditions?.find(({ type }) => type === 'Routed')?.status === 'True'
const DRAWS = Array.from({ length: 100 }, (_, i) => i / 100)

async function released(analysis: typeof ANALYSIS = ANALYSIS): Promise<World> {
  const world = await worldWith(cart())
  controller(world)
  world.fake.seed(canary({ spec: OWN, analysis }))
  await world.run()
  world.setImage('cart:2')
  return world
}

/** The first answer of an arm, and the cookie that came with it. */
function joined(world: World, arm: 'cart-primary' | 'cart-canary'): string {
  const answer = DRAWS.map((draw) => route(found(world), '', draw)).find(({ backend }) => backend === arm)
  return answer?.setCookie[0] ?? ''
}

test('whoever an arm has answered stays with it, whatever the weight becomes; the rest are divided by weight', async (t) => {
  const world = await released()
  await world.run({ until: at(world, 10) })
  t.equal(DRAWS.filter((draw) => route(found(world), '', draw).backend === 'cart-canary').length, 10)
  const [canaryCookie, primaryCookie] = [joined(world, 'cart-canary'), joined(world, 'cart-primary')]
  const revision = world.status().lastAppliedSpec ?? ''
  t.equal(canaryCookie, `canary-cookie=${revision}; Max-Age=86400; Path=/`)
  t.equal(primaryCookie, `primary-cookie=${revision}; Max-Age=60; Path=/`, 'until the next step: a growing weight has to reach them too')
  t.match(world.status(), { sessionAffinityCookie: canaryCookie.split(';')[0], primarySessionAffinityCookie: primaryCookie.split(';')[0], previousSessionAffinityCookie: undefined })
  for (const weight of [10, 30]) {
    await world.run({ until: at(world, weight) })
    for (const [cookie, arm] of [[canaryCookie, 'cart-canary'], [primaryCookie, 'cart-primary']] as const) {
      const sent = `theme=dark; ${cookie.split(';')[0]}`
      t.same(new Set(DRAWS.map((draw) => route(found(world), sent, draw).backend)), new Set([arm]), `${arm} at ${weight} %`)
    }
  }
})

for (const { name, end } of [
  { name: 'a promotion', end: (_: World) => {} },
  { name: 'an abort', end: (world: World) => world.annotate({ 'canarygate.dev/abort': 'enough' }) },
]) {
  test(`after ${name} the cookie is taken back from whoever still sends it, and from nobody else`, async (t) => {
    const world = await released()
    await world.run({ until: at(world, 10) })
    const handedOut = world.status().sessionAffinityCookie ?? ''
    end(world)
    await world.run()
    t.match(world.status(), { sessionAffinityCookie: undefined, previousSessionAffinityCookie: handedOut })
    const answersTo = (cookie: string): readonly string[] => [...new Set(DRAWS.map((draw) => JSON.stringify(route(found(world), cookie, draw))))]
    t.same(answersTo(`a=b; ${handedOut}`), [JSON.stringify({ backend: 'cart-primary', setCookie: [`${handedOut}; Max-Age=-1; Path=/`] })])
    t.same(answersTo('canary-cookie=another'), [JSON.stringify({ backend: 'cart-primary', setCookie: [] })])
    world.setImage('cart:3')
    await world.run({ until: at(world, 10) })
    t.equal(route(found(world), handedOut, 0.5).backend, 'cart-primary', 'in the next run it means nothing')
    t.not(world.status().sessionAffinityCookie, handedOut)
  })
}

test('a route of the owner\'s is at rest as its owner wrote it: there the cookie ends with its age, or with the next revision', async (t) => {
  const world = await worldWith([...cart(), HTTP_ROUTE])
  controller(world)
  world.fake.seed(canary({ spec: { provider: 'gatewayapi:v1' }, analysis: ANALYSIS }))
  await world.run()
  world.setImage('cart:2')
  await world.run({ until: at(world, 10) })
  t.equal(route(found(world), world.status().sessionAffinityCookie ?? '', 0).backend, 'cart-canary')
  await world.run()
  t.equal(world.status().phase, 'Succeeded')
  t.same(found(world)?.['spec'], HTTP_ROUTE['spec'])
})

test('a router that keeps no sessions leaves no cookies in the status', async (t) => {
  const world = await worldWith([...cart(), canary({ spec: { provider: 'traefik' }, analysis: ANALYSIS })])
  world.setImage('cart:2')
  await world.run({ until: at(world, 10) })
  t.equal(world.status().sessionAffinityCookie, undefined)
})

test('cookies that are no longer wanted leave the status, and are not taken back', async (t) => {
  const world = await released()
  await world.run({ until: at(world, 10) })
  world.edit('Canary', 'cart', (object) => {
    const { sessionAffinity: _, ...analysis } = object.spec.analysis
    return { ...object, spec: { ...object.spec, analysis } }
  })
  await world.run()
  t.match(world.status(), { phase: 'Succeeded', sessionAffinityCookie: undefined, previousSessionAffinityCookie: undefined })
  t.notMatch(JSON.stringify(found(world)), /Cookie/)
})
