import type { AddressInfo } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { test, type Test } from 'tap'
import type { CanaryWebhook } from '#api/canary.ts'
import type { HookPorts, HookType } from '#hooks/call.ts'
import { runHooks } from '#hooks/hooks.ts'
import { createLoadTester } from '#loadtest/server.ts'
import { denialOf } from '#api/address-denial.ts'
import { createHttp } from '#metrics/http.ts'

/** Hooks and load tester together, over real sockets: the rows in which Flagger's own tests use them. */

const SUBJECT = { name: 'podinfo', namespace: 'test', phase: 'Progressing', checksum: '6f9c8d7b54' }

async function setUp(t: Test): Promise<{ url: string; ask: (type: HookType, ...hooks: Partial<CanaryWebhook>[]) => Promise<(readonly [boolean, string])[]>; people: (path: string) => Promise<number> }> {
  const app = createLoadTester({
    log: pino({ level: 'silent' }), now: () => performance.now(), denialOf, allowLoopback: true,
    wait: async (milliseconds, signal) => { await sleep(milliseconds, undefined, { signal }).catch(() => undefined) },
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { http, close } = createHttp({ allowLoopback: true })
  t.teardown(async () => { await close(); await app.close() })
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
  const ports: HookPorts = { http, random: () => 1, wait: async () => {} }
  return {
    url,
    ask: async (type, ...hooks) => (await runHooks(
      type, hooks.map((hook) => ({ name: 'hook', type, ...hook, url: `${url}${hook.url ?? '/'}` })), SUBJECT, ports, new AbortController().signal,
    )).map(({ ok, message }) => [ok, message] as const),
    people: async (path) => (await http({ method: 'POST', url: `${url}${path}`, body: '{"name": "podinfo","namespace":"test"}', deadlineMs: 2_000 }, new AbortController().signal)).status,
  }
}

test('a confirmation waits at a closed gate, passes an open one, and /gate/approve and /gate/halt are fixed', async (t) => {
  const { ask, people } = await setUp(t)
  const gate = { url: '/gate/check' }
  t.same(await ask('confirm-rollout', gate), [[false, 'Forbidden']])
  t.equal(await people('/gate/open'), 202)
  t.same(await ask('confirm-rollout', gate), [[true, 'Approved']])
  t.same(await ask('confirm-promotion', gate), [[true, 'Approved']], 'one gate for all confirmations of a Canary')
  t.equal(await people('/gate/close'), 202)
  t.same(await ask('confirm-promotion', gate), [[false, 'Forbidden']])
  t.same(await ask('confirm-rollout', { url: '/gate/approve' }), [[true, 'OK']])
  t.same(await ask('confirm-traffic-increase', { url: '/gate/halt' }, { url: '/gate/approve' }), [[false, 'Forbidden']])
})

test('a rollback gate asks for nothing while closed, and rolls back when opened', async (t) => {
  const { ask, people } = await setUp(t)
  t.same(await ask('rollback', { url: '/rollback/check' }), [[false, 'Forbidden']])
  t.equal(await people('/rollback/open'), 202)
  t.same(await ask('rollback', { url: '/rollback/check' }), [[true, 'Approved']])
})

test('a check that fails tells its output in the hook\'s message', async (t) => {
  const { url, ask } = await setUp(t)
  const [answer] = await ask('pre-rollout', { metadata: { type: 'bash', cmd: `curl -sf ${url}/gate/halt` } })
  t.equal(answer?.[0], false)
  t.match(answer?.[1], /giving up after 1 attempt\(s\): HTTP 500 command curl -sf .*\/gate\/halt failed: Forbidden: curl: \(22\)/)
  t.same(await ask('pre-rollout', { metadata: { type: 'bash', cmd: `curl -sf ${url}/healthz | grep OK` } }), [[true, 'OK']])
})

test('a load is accepted at once, and a command that cannot be run says so in the hook\'s message', async (t) => {
  const { url, ask } = await setUp(t)
  t.same(await ask('rollout', { metadata: { type: 'cmd', cmd: `hey -z 100ms -q 10 -c 2 ${url}/healthz` } }), [[true, 'Accepted']])
  t.match(await ask('rollout', { metadata: { cmd: 'ghz --insecure podinfo:9999' } }), [[false, /ghz is not run here; known are hey, curl, wget/]])
})
