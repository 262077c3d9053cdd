import { setTimeout as wait } from 'node:timers/promises'
import { t, test } from 'tap'
import { annotationsOf, beginMeasuring, cluster, deployShop, getCanary, imageOf, namespace, reaches, run, serviceUrl, skip, startLoad, waitFor } from '../scene.ts'

/** How soon a bad version is found by what its own pods tell. */
await beginMeasuring(t)

/** From the first request that a broken version answers to no weight on it. */
const DETECTION_SECONDS = 7
/** Until five failed checks, one a minute. */
const COUNTING_SECONDS = 300
/** Users' requests a second. */
const RATE = 40

test('without any metrics server, a version that fails every request is rolled back within 7 s of its first one', { skip }, async (t) => {
  const ns = await namespace(t)
  const host = `${ns}.example.org`
  await deployShop(ns, { host, replicas: 2, preStopSeconds: 3 })
  const load = startLoad(t, { url: await serviceUrl(ns), rate: 40 })
  const { stderr } = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:broken'])
  t.match(stderr, /is held as revision/)
  const routed = startLoad(t, { url: cluster().traefikUrl, host, rate: RATE })
  const weight = await waitFor('weight on the canary', async () => ((await getCanary(ns))?.status?.canaryWeight ?? 0) > 0 && performance.now(), 60, 50)
  await reaches(ns, ['Failed'], 30)
  const seconds = (performance.now() - weight) / 1_000
  await wait(2_000)
  const summary = await routed.stop()
  t.comment(`${seconds.toFixed(1)} s from the first weight to the rollback; ${summary.failed} of ${summary.total} requests failed: ${JSON.stringify(summary.byVersionAndCode)}`)
  const counted = Math.round((RATE / 2) * COUNTING_SECONDS)
  t.comment(`a rule that counts checks (interval 1m, threshold 5) would have left half of the users with it for ${COUNTING_SECONDS} s: about ${counted} failed requests`)
  t.ok(summary.failed < counted / 10, `${summary.failed} failed requests, where counting checks costs about ${counted}`)
  t.ok(seconds <= DETECTION_SECONDS, `${seconds.toFixed(1)} s from the first weight to the rollback`)
  t.equal((await load.stop()).failed, 0, 'who calls the Service itself never met the canary')
  t.match((await annotationsOf(ns))['canarygate.dev/gate'], /^failed: canary fails/)
  t.equal(await imageOf(ns, 'cart-primary'), 'shop:1.0')
  const good = await run(['-n', ns, 'set', 'image', 'deployment/cart', 'cart=shop:1.1'])
  t.equal(good.code, 0)
  await reaches(ns, ['Progressing'], 10)
})
