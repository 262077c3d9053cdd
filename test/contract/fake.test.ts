import { test } from 'tap'
import { createKubeClient } from '#kube/client.ts'
import { createFakeKube } from '../fake-kube.ts'
import { cases } from './cases.ts'

for (const { name, run } of cases) {
  test(`fake, in process: ${name}`, async (t) => {
    const fake = createFakeKube()
    await run(t, { client: fake.client, namespace: 'contract' })
  })
  test(`fake, over HTTP: ${name}`, async (t) => {
    const fake = createFakeKube()
    const server = await fake.listen()
    const client = createKubeClient(server.config, { userAgent: 'canarygate/test', qps: 10_000, burst: 10_000, now: Date.now, random: () => 0 })
    t.teardown(async () => {
      await server.close()
      await client.close()
    })
    await run(t, { client, namespace: 'contract' })
  })
}
