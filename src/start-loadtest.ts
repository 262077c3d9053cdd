import type { Runtime } from '#runtime.ts'
import { pause, realAfter } from '#kube/clock.ts'
import { createLoadTester } from '#loadtest/server.ts'
import { denialOf } from '#api/address-denial.ts'

const PORT = 8080

/** Runs the load tester, which speaks Flagger's HTTP API, until it is told to stop; what runs then is given up. */
export async function startLoadTest({ env, log, monotonic, stopping }: Runtime): Promise<void> {
  const app = createLoadTester({
    log, now: monotonic, allowLoopback: false,
    wait: (milliseconds, signal) => pause(realAfter, milliseconds, signal),
    denialOf: (address) => denialOf(address, {}),
    ...(env['NAMESPACES'] ? { namespaces: new RegExp(`^(?:${env['NAMESPACES']})$`) } : {}),
  })
  const port = Number(env['HTTP_PORT'] ?? PORT)
  await app.listen({ host: '0.0.0.0', port })
  log.info({ port }, 'load tester listens')
  await new Promise<void>((resolve) => {
    stopping.addEventListener('abort', () => resolve(), { once: true })
    if (stopping.aborted) resolve()
  })
  await app.close()
}
