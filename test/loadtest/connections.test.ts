import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { test } from 'tap'
import { parseCommand } from '#loadtest/command.ts'
import { runCommand } from '#loadtest/run.ts'

/** Behind a plain Service a connection stays with one pod. */
for (const { options, connections } of [{ options: '', connections: { least: 2, most: 12 } }, { options: '-disable-keepalive ', connections: { least: 40, most: 60 } }]) {
  test(`a load ${options}renews its connections, so that it meets every pod`, async (t) => {
    const sockets = new Set<unknown>()
    const server = createServer((request, response) => { sockets.add(request.socket); response.end('ok') })
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
    t.teardown(() => { server.closeAllConnections(); server.close() })
    const steps = parseCommand(`hey -n 50 -q 25 -c 2 ${options}http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { maxWorkers: 10 })
    if (!steps.ok) throw new Error(steps.reason)
    const { loads } = await runCommand(steps.value, {
      namespace: 'shop', denialOf: () => undefined, allowLoopback: true, now: () => performance.now(), wait: async (ms, signal) => { await pause(ms, undefined, { signal }).catch(() => undefined) },
    }, new AbortController().signal)
    t.match(loads, [{ requests: 50, statuses: { 200: 50 }, errors: {} }])
    t.ok(sockets.size >= connections.least && sockets.size <= connections.most, `${sockets.size} connections`)
  })
}

test('a process that is early or late by moments keeps the pace; one that is late by more does not send a burst', async (t) => {
  const server = createServer((_request, response) => { response.end('ok') })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const sent = async (lateMs: number): Promise<number> => {
    const steps = parseCommand(`hey -z 4s -q 50 -c 1 http://127.0.0.1:${(server.address() as AddressInfo).port}/`, { maxWorkers: 10 })
    if (!steps.ok) throw new Error(steps.reason)
    let now = 0
    const { loads } = await runCommand(steps.value, { namespace: 'shop', denialOf: () => undefined, allowLoopback: true, now: () => now, wait: async (ms) => { now += ms + lateMs } }, new AbortController().signal)
    return loads[0]?.requests ?? 0
  }
  const [early, late, veryLate] = [await sent(-0.5), await sent(45), await sent(200)]
  t.equal(early, 200)
  t.ok(late >= 190 && late <= 200, `${late} of 200`)
  t.ok(veryLate <= 70, `${veryLate} of 200`)
})
