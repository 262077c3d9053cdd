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
