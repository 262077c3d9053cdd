import t from 'tap'
import type { CanarySpec } from '#api/canary.ts'
import type { KubeObject } from '#api/objects.ts'
import { isClaimed } from '#kube/claims.ts'
import { controller, HTTP_ROUTE } from './gateway.ts'
import { canary, cart, ingressRoute, TRAEFIK, worldWith, type World } from './world.ts'

const { test } = t
const WEIGHTS = [20, 35, 50]

/** What a step costs the API server, besides the event that tells it. */
const cases: readonly { name: string; spec: Partial<CanarySpec>; routes?: readonly KubeObject[]; appliedBy?: string; writes: readonly string[] }[] = [
  { name: 'traefik, a TraefikService of our own', spec: { provider: 'traefik' }, writes: ['apply TraefikService', 'update Canary/status'] },
  { name: 'kubernetes, where a step needs more pods', spec: { provider: 'kubernetes' }, writes: ['patch Deployment', 'update Canary/status'] },
  { name: 'traefik, an IngressRoute of the owner\'s', spec: { provider: 'traefik' }, routes: [ingressRoute()], writes: ['apply IngressRoute', 'update Canary/status'] },
  // The owner's next `kubectl apply --server-side` must end in no conflict, also in mid-run: the fields are given back at once.
  {
    name: 'traefik, an IngressRoute that its owner applies server-side', spec: { provider: 'traefik' }, routes: [ingressRoute()], appliedBy: 'helm',
    writes: ['apply IngressRoute', 'patch IngressRoute', 'update Canary/status'],
  },
  // That the Gateway has taken the route is known a moment later, and both are told by one status.
  {
    name: 'gatewayapi:v1, an HTTPRoute of our own', spec: { provider: 'gatewayapi:v1', service: { port: 80, targetPort: 8080, gatewayRefs: [{ name: 'edge' }] } },
    writes: ['apply HTTPRoute', 'update Canary/status'],
  },
  { name: 'gatewayapi:v1, an HTTPRoute of the owner\'s', spec: { provider: 'gatewayapi:v1' }, routes: [HTTP_ROUTE], writes: ['apply HTTPRoute', 'update Canary/status'] },
]

const written = (world: World): readonly string[] => world.fake.writes().map(({ verb, kind, subresource }) => `${verb} ${kind}${subresource ? `/${subresource}` : ''}`)

for (const { name, spec, routes = [], appliedBy, writes } of cases) {
  test(`${name}: ${writes.length} writes a step and one event`, async (t) => {
    const world = await worldWith([...cart({ replicas: 4 }), ...(appliedBy ? [] : routes)])
    if (appliedBy) for (const route of routes) await world.fake.client.apply(route, { fieldManager: appliedBy, force: true })
    controller(world)
    world.fake.seed(canary({ spec, analysis: { stepWeights: WEIGHTS, interval: '10s' } }))
    await world.run()
    world.setImage('cart:2')
    for (const weight of WEIGHTS) {
      await world.run({ until: () => world.status().canaryWeight === weight })
      if (weight !== WEIGHTS[0]) {
        t.comment(`to ${weight} %: ${written(world).join(', ')}`)
        t.same(written(world).filter((write) => write !== 'create Event'), writes)
        t.equal(written(world).length, writes.length + 1)
      }
      world.fake.clearCalls()
    }
    await world.run()
    t.equal(world.status().phase, 'Succeeded')
    t.notOk([...world.fake.objects(TRAEFIK, 'IngressRoute'), ...world.fake.objects('v1', 'Service'), world.target()].some(isClaimed), 'at rest nothing of the owner\'s counts as ours')
  })
}
