import { performance } from 'node:perf_hooks'
import { setTimeout as wait } from 'node:timers/promises'
import { pino } from 'pino'
import type { Runtime } from '#runtime.ts'
import { startAgent } from '#start-agent.ts'
import { startLoadTest } from '#start-loadtest.ts'
import { startWebhook } from '#start-webhook.ts'

/** The only place that reads the environment, the clock and the arguments; everything below is handed what it needs. */

const COMMANDS: Readonly<Record<string, (runtime: Runtime) => Promise<void>>> = { agent: startAgent, webhook: startWebhook, loadtest: startLoadTest }

/** After this long a stop that hangs is ended, before the kubelet does it (ms). */
const LONGEST_STOP_MS = 135_000

async function main(): Promise<void> {
  const name = process.argv[2] ?? ''
  const command = COMMANDS[name]
  if (!command) {
    process.stderr.write(`usage: canarygate ${Object.keys(COMMANDS).join('|')}\n`)
    process.exit(2)
  }
  const log = pino({
    level: process.env['LOG_LEVEL'] ?? 'info',
    base: { component: name },
    redact: ['*.token', '*.authorization', '*.headers.authorization', 'request.object.data', '*.key'],
  })
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping')
      stop.abort()
      void wait(LONGEST_STOP_MS, undefined, { ref: false }).then(() => process.exit(1))
    })
  }
  // A promise nobody waited for is a defect; the process goes on only if its state is known, and it is not.
  process.on('unhandledRejection', (err) => {
    log.fatal({ err }, 'unhandled rejection')
    process.exit(1)
  })
  await command({
    env: process.env, log, stopping: stop.signal, random: Math.random,
    now: () => performance.timeOrigin + performance.now(),
    monotonic: () => performance.now(),
  })
  process.exit(0)
}

await main()
