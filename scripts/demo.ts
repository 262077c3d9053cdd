import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'

/**
 * The main job on the real test cluster, told as it happens: install, a good release, a bad one, an unsafe Canary.
 * Exits 1 if anything did not happen.
 */
type Cluster = { readonly kubeconfig: string; readonly kubectl: string; readonly load: string; readonly traefikUrl: string }

const cluster = JSON.parse(readFileSync(`${process.env['CANARYGATE_CLUSTER_DIR'] ?? '.cluster'}/cluster.json`, 'utf8')) as Cluster
const env = { ...process.env, KUBECONFIG: cluster.kubeconfig }
const startedAt = Date.now()
const faults: string[] = []
const HOST = 'cart.example.org'
const RATE = 60
/** The load ends by itself, whatever happens to this script. */
const LONGEST_LOAD = '5m'

const clock = (): string => `${((Date.now() - startedAt) / 1_000).toFixed(1).padStart(6)}s`
const say = (text: string): void => { for (const line of text.split('\n')) console.log(`${clock()}  ${line}`) }
const title = (text: string): void => console.log(`\n=== ${text}`)
function expect(fact: boolean, what: string): void {
  say(`${fact ? 'ok  ' : 'FAULT'} ${what}`)
  if (!fact) faults.push(what)
}

/** Runs kubectl for the script itself. */
const kubectl = (...args: readonly string[]): string =>
  execFileSync(cluster.kubectl, args, { env, encoding: 'utf8', timeout: 120_000, stdio: ['ignore', 'pipe', 'pipe'] }).trim()

/** Types a command as a person would, and shows what the person sees. */
function type(command: string, timeout = 120_000): number {
  say(`$ ${command}`)
  const [, ...args] = command.split(' ')
  const { status, stdout, stderr } = spawnSync(cluster.kubectl, args, { env, encoding: 'utf8', timeout })
  const output = `${stdout}${stderr}`.trim()
  if (output !== '') say(output.replaceAll(/^/gm, '    '))
  return status ?? 1
}

type Second = { readonly total?: number; readonly byCode?: Readonly<Record<string, number>>; readonly byVersion?: Readonly<Record<string, number>> }

/** Steady, bounded requests through the router; counts what users saw, version by version. */
function startLoad(): { readonly totals: Map<string, { requests: number; failures: number }>; readonly child: ChildProcess; latest: () => string; stop: () => Promise<Summary> } {
  const child = spawn(cluster.load, ['--url', `${cluster.traefikUrl}/`, '--host', HOST, '--rate', String(RATE), '--duration', LONGEST_LOAD, '--timeline'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const totals = new Map<string, { requests: number; failures: number }>()
  let latest: Second = {}
  let last = ''
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return
    last = line
    latest = JSON.parse(line) as Second
  })
  const ended = new Promise<void>((resolve) => { child.once('exit', () => resolve()) })
  return {
    child, totals,
    latest: () => Object.entries(latest.byVersion ?? {}).sort().map(([version, count]) => `${version}: ${count}`).join('  ') || 'nothing yet',
    async stop() {
      child.kill('SIGTERM')
      await ended
      return JSON.parse(last) as Summary
    },
  }
}

type Summary = {
  readonly total: number
  readonly byCode: Readonly<Record<string, number>>
  readonly byVersion: Readonly<Record<string, number>>
  /** Answers by version and code, as "2.5 500". */
  readonly byVersionAndCode: Readonly<Record<string, number>>
  readonly errors?: Readonly<Record<string, number>>
}

/** Tells the Canary's events and the split that users see until its phase is one of these, or time is up. */
async function watch(phases: readonly string[], seconds: number, load: ReturnType<typeof startLoad>): Promise<string> {
  const told = new Set<string>(JSON.parse(kubectl('-n', 'shop', 'get', 'events', '-o', 'json')).items.map((event: { metadata: { uid: string } }) => event.metadata.uid) as string[])
  const endAt = Date.now() + seconds * 1_000
  let split = ''
  while (Date.now() < endAt) {
    const { items } = JSON.parse(kubectl('-n', 'shop', 'get', 'events', '--field-selector', 'involvedObject.kind=Canary', '-o', 'json')) as { items: { metadata: { uid: string }; type: string; message: string; lastTimestamp: string }[] }
    for (const event of items.filter(({ metadata }) => !told.has(metadata.uid)).sort((a, b) => a.lastTimestamp.localeCompare(b.lastTimestamp))) {
      told.add(event.metadata.uid)
      say(`  ${event.type === 'Warning' ? '!' : '-'} ${event.message}`)
    }
    if (load.latest() !== split) {
      split = load.latest()
      say(`      users get per second  ${split}`)
    }
    const phase = phaseNow()
    if (phases.includes(phase)) return phase
    await wait(1_000)
  }
  return phaseNow()
}

function phaseNow(): string {
  const { status, stdout } = spawnSync(cluster.kubectl, ['-n', 'shop', 'get', 'canary', 'cart', '-o', 'jsonpath={.status.phase}'], { env, encoding: 'utf8', timeout: 20_000 })
  return status === 0 ? stdout.trim() : ''
}

async function main(): Promise<void> {
  title('CanaryGate is installed')
  spawnSync(cluster.kubectl, ['delete', 'namespace', 'shop', '--ignore-not-found', '--timeout=90s'], { env, timeout: 100_000 })
  type('kubectl apply --server-side -k manifests/demo')
  type('kubectl -n canarygate rollout restart deployment')
  expect(type('kubectl -n canarygate rollout status deployment/canarygate-agent --timeout=90s') === 0, 'the agent is ready')
  expect(type('kubectl -n canarygate rollout status deployment/canarygate-webhook --timeout=90s') === 0, 'the webhook is ready')

  title('An ordinary application: cart 2.3, three replicas, a Service, a Traefik route')
  type('kubectl apply -f manifests/demo/shop.yaml')
  type('kubectl -n shop rollout status deployment/cart --timeout=60s')
  await routeAnswers()
  const load = startLoad()
  await wait(3_000)
  say(`steady load: ${RATE} requests a second through Traefik`)

  title('A good release: the ordinary command, for the first time')
  type('kubectl -n shop set image deployment/cart cart=cart:2.4')
  const status = spawn(cluster.kubectl, ['-n', 'shop', 'rollout', 'status', 'deployment/cart', '--timeout=120s'], { env, stdio: 'ignore' })
  const verdict = exitOf(status)
  expect((await watch(['Succeeded', 'Failed'], 100, load)) === 'Succeeded', 'cart 2.4 was promoted')
  expect((await verdict) === 0, '`kubectl rollout status` waited for the verdict and exited 0')
  expect(primaryImage() === 'cart:2.4', `the primary runs cart:2.4`)
  type('kubectl -n shop get canary,deployments')

  title('A bad release: 30 % of its answers are errors')
  type('kubectl -n shop set image deployment/cart cart=cart:2.5')
  const second = exitOf(spawn(cluster.kubectl, ['-n', 'shop', 'rollout', 'status', 'deployment/cart', '--timeout=120s'], { env, stdio: 'ignore' }))
  expect((await watch(['Failed', 'Succeeded'], 100, load)) === 'Failed', 'cart 2.5 was rolled back')
  expect((await second) !== 0, '`kubectl rollout status` exited non-zero')
  expect(primaryImage() === 'cart:2.4', 'the primary still runs cart:2.4')
  await wait(3_000)

  title('An unsafe Canary')
  expect(type('kubectl apply -f manifests/demo/unsafe-canary.yaml') !== 0, 'it was refused')
  expect(!kubectl('-n', 'shop', 'get', 'canaries', '-o', 'name').includes('payment'), 'and nothing was stored')

  const summary = await load.stop()
  title('What users saw')
  say(`${summary.total} requests; by version ${JSON.stringify(summary.byVersion)}; by code ${JSON.stringify(summary.byCode)}; errors ${JSON.stringify(summary.errors ?? {})}`)
  const failures = Object.entries(summary.byCode).filter(([code]) => !code.startsWith('2')).reduce((sum, [, count]) => sum + count, 0)
  const bad = Object.entries(summary.byVersionAndCode).filter(([key]) => key.startsWith('2.5 5')).reduce((sum, [, count]) => sum + count, 0)
  const own = failures - bad + Object.values(summary.errors ?? {}).reduce((sum, count) => sum + count, 0)
  expect(own === 0, `${own} requests failed because of us; ${bad} were answered with an error by cart 2.5 itself`)

  title('Summary')
  say(faults.length === 0 ? 'good release promoted, bad release rolled back, unsafe Canary refused' : `NOT as it should be:\n${faults.join('\n')}`)
  say('Look further:  source .cluster/env; kubectl -n shop describe canary cart; kubectl -n canarygate logs deploy/canarygate-agent')
  process.exit(faults.length === 0 ? 0 : 1)
}

/** A router hears of a new route a moment late: the load begins when it answers, or the first failures would be nobody's. */
async function routeAnswers(): Promise<void> {
  for (let tries = 0; tries < 50; tries += 1) {
    const isThere = await answers()
    if (isThere) return
    await wait(200)
  }
  expect(false, 'the route answers')
}

/** Not by `fetch`, which does not let anybody choose the Host header. */
const answers = (): Promise<boolean> => new Promise((resolve) => {
  get(`${cluster.traefikUrl}/`, { headers: { host: HOST }, timeout: 2_000 }, (answer) => {
    answer.resume()
    resolve(answer.statusCode === 200)
  }).once('error', () => resolve(false)).once('timeout', () => resolve(false))
})

const exitOf = (child: ChildProcess): Promise<number> => new Promise((resolve) => { child.once('exit', (code) => resolve(code ?? 1)) })
const primaryImage = (): string => kubectl('-n', 'shop', 'get', 'deployment', 'cart-primary', '-o', 'jsonpath={.spec.template.spec.containers[0].image}')

await main()
