import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import { adoptedShop, auditedSince, auditSize, begin, cluster, namespace, skip } from '../scene.ts'

await begin(t)

const QUIET_SECONDS = 60
const USER = 'system:serviceaccount:canarygate:'
/** Long enough for what came before, other tests' namespaces too, to be over. */
const SETTLE_SECONDS = 10

test('an idle canary costs no API request: watches and the Lease are all that is asked for', { skip }, async (t) => {
  await Promise.all([
    adoptedShop(await namespace(t), {}, { provider: 'kubernetes' }),
    adoptedShop(await namespace(t), { host: 'idle.example.org' }, { provider: 'traefik' }),
  ])
  await wait(SETTLE_SECONDS * 1_000)
  const from = await auditSize()
  await wait(QUIET_SECONDS * 1_000)
  const requests = await auditedSince(from, USER)
  const isExpected = ({ verb, what }: { verb: string; what: string }): boolean => verb === 'watch' || what.startsWith('leases/')
  t.comment(`${requests.length} requests in ${QUIET_SECONDS} s, ${requests.filter(({ what }) => what.startsWith('leases/')).length} of them for the Lease (${cluster().auditLog})`)
  t.ok(requests.some(({ what }) => what.startsWith('leases/')), 'the log tells of the Lease, so it would tell of others')
  t.strictSame(requests.filter((request) => !isExpected(request)), [], 'nothing else is asked for')
})
