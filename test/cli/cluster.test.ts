import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { main } from '#cli/main.ts'

/** The commands that speak to a cluster, with a server that answers what a row says. */
const { test } = t
const directory = mkdtempSync(join(tmpdir(), 'canarygate-cli-'))
t.teardown(() => rmSync(directory, { recursive: true }))

const run = async (...argv: readonly string[]) => {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await main(argv, { out: (text) => out.push(text), err: (text) => err.push(text) })
  return { code, out: out.join(''), err: err.join('') }
}

/** A kubeconfig with two contexts, of which only `here` leads to the server. */
function kubeconfig(server: string): string {
  const path = join(directory, `${server.replaceAll(/\W/g, '-')}.yaml`)
  const named = (name: string, address: string) => ({ clusters: { name, cluster: { server: address } }, contexts: { name, context: { cluster: name, user: 'me', namespace: `ns-of-${name}` } } })
  const [here, away] = [named('here', server), named('away', 'http://127.0.0.1:1')]
  writeFileSync(path, JSON.stringify({
    'current-context': 'here', users: [{ name: 'me', user: { token: 'x' } }], clusters: [here.clusters, away.clusters], contexts: [here.contexts, away.contexts],
  }))
  return path
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void

async function serve(t: Test, answer: Answer): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => { server.closeAllConnections(); server.close() })
  return kubeconfig(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

const send = (response: ServerResponse, status: number, body: unknown): void => void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
const refusal = (code: number, message: string) => ({ kind: 'Status', status: 'Failure', code, reason: 'x', message })
const canaryAt = (phase: string) =>
  ({ apiVersion: 'flagger.app/v1beta1', kind: 'Canary', metadata: { name: 'cart', namespace: 'shop', resourceVersion: '7' }, spec: { targetRef: { kind: 'Deployment', name: 'cart' } }, status: { phase } })
const listed = (...items: readonly unknown[]) => ({ kind: 'CanaryList', metadata: { resourceVersion: '7' }, items })
const targetAt = (gate: string) => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'cart', namespace: 'shop', annotations: { 'canarygate.dev/gate': gate } } })

const ON_A_CLUSTER = [['watch', 'cart'], ['abort', 'cart', '--reason', 'why'], ['lint', '--cluster'], ['policy', 'explain', 'deployment/cart']] as const

for (const [verb, ...rest] of ON_A_CLUSTER) {
  test(`${verb}: an API server that is not there, or that refuses, is no verdict: exit 2 and words, no stack`, async (t) => {
    const written: string[] = []
    const { stderr } = process
    const write = stderr.write.bind(stderr)
    stderr.write = ((text: string) => written.push(text) > 0) as typeof stderr.write
    t.teardown(() => { stderr.write = write })
    const refused = await serve(t, (_, response) => send(response, 403, refusal(403, 'canaries is forbidden')))
    for (const [path, says] of [[kubeconfig('http://127.0.0.1:1'), /no answer from the API server http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/], [refused, /403 canaries is forbidden/]] as const) {
      written.length = 0
      const { code, err, out } = await run(verb, ...rest, '--kubeconfig', path)
      t.equal(code, 2)
      t.match(err + written.join(''), says)
      t.notMatch(err + written.join(''), /\n\s+at /)
      t.equal(out, '')
    }
  })
}

test('the namespace is the context\'s where none is given, and the context may be chosen', async (t) => {
  const asked: string[] = []
  const path = await serve(t, (request, response) => {
    asked.push(request.url ?? '')
    send(response, 404, refusal(404, 'not found'))
  })
  t.match(await run('abort', 'cart', '--reason', 'why', '--kubeconfig', path), { code: 2, err: /no Canary cart in namespace ns-of-here/ })
  t.match(await run('abort', 'cart', '--reason', 'why', '-n', 'shop', '--kubeconfig', path), { code: 2, err: /no Canary cart in namespace shop/ })
  t.match(asked, [/namespaces\/ns-of-here\/canaries\/cart/, /namespaces\/shop\/canaries\/cart/])
  t.match(await run('abort', 'cart', '--reason', 'why', '--kubeconfig', path, '--context', 'away'), { code: 2, err: /127\.0\.0\.1:1/ })
  t.match(await run('abort', 'cart', '--reason', 'why', '--kubeconfig', path, '--context', 'nowhere'), { code: 2, err: /no context nowhere/ })
})

test('without a cluster it is said where one was looked for', async (t) => {
  const before = process.env['KUBECONFIG']
  t.teardown(() => { if (before === undefined) delete process.env['KUBECONFIG']; else process.env['KUBECONFIG'] = before })
  process.env['KUBECONFIG'] = join(directory, 'none.yaml')
  t.match(await run('watch', 'cart'), { code: 2, err: /no cluster to ask: there is no file of KUBECONFIG \(.*none\.yaml\); say --kubeconfig FILE/ })
  const path = await serve(t, (_, response) => send(response, 404, refusal(404, 'not found')))
  process.env['KUBECONFIG'] = `${join(directory, 'none.yaml')}:${path}`
  t.match(await run('abort', 'cart', '--reason', 'why'), { code: 2, err: /no Canary cart in namespace ns-of-here/ }, 'a file that is not there is passed over, as by kubectl')
})

test('commands about more than one Canary, or with words that mean nothing, are refused as a whole', async (t) => {
  t.match(await run('abort', 'cart', 'pay', '--reason', 'why', '--kubeconfig', kubeconfig('http://127.0.0.1:1')), { code: 2, err: /one Canary at a time: pay is one too many/ })
  t.match(await run('plan', 'canary.yaml'), { code: 2, err: /canary\.yaml: what is that\? Files are given with an option/ })
})

test('watch, just after an image was set: the verdict of the run before is none', async (t) => {
  let turn = 0
  const phases = ['Succeeded', 'Progressing', 'Failed']
  const path = await serve(t, (request, response) => {
    if (request.url?.includes('/deployments/')) return send(response, 200, targetAt(turn < 2 ? 'pending' : 'failed: errors'))
    if (!request.url?.includes('watch=true')) {
      const phase = phases[Math.min(turn, 2)] ?? ''
      if (phase === 'Succeeded') turn = 1
      return send(response, 200, listed(canaryAt(phase)))
    }
    turn = 2
    response.writeHead(200, { 'content-type': 'application/json' })
    return void response.end(`${JSON.stringify({ type: 'MODIFIED', object: canaryAt('Failed') })}\n`)
  })
  const { code, out } = await run('watch', 'cart', '-n', 'shop', '--kubeconfig', path)
  t.equal(code, 1)
  t.same(out.match(/Succeeded|Progressing|Failed/g), ['Succeeded', 'Progressing', 'Failed'])
})

test('watch looks again when its connection is cut or its place in time is gone, not a hundred times a second', async (t) => {
  let watches = 0
  const path = await serve(t, (request, response) => {
    if (request.url?.includes('/deployments/')) return send(response, 200, targetAt('passed'))
    if (!request.url?.includes('watch=true')) return send(response, 200, listed(canaryAt(watches < 2 ? 'Progressing' : 'Succeeded')))
    watches += 1
    if (watches === 1) return send(response, 200, { type: 'ERROR', object: refusal(410, 'too old resource version') })
    return void request.socket.destroy()
  })
  const begun = Date.now()
  const { code, out } = await run('watch', 'cart', '-n', 'shop', '--kubeconfig', path)
  t.equal(code, 0)
  t.match(out, /Progressing.*\n.*Succeeded/)
  t.equal(watches, 2)
  t.ok(Date.now() - begun >= 2_000)
})

test('watch of a target that is gated for the first time waits for the Canary that the agent writes', async (t) => {
  let lists = 0
  const path = await serve(t, (request, response) => {
    if (request.url?.includes('/deployments/')) return send(response, 200, targetAt(lists < 2 ? 'pending' : 'passed'))
    lists += 1
    return send(response, 200, lists < 2 ? listed() : listed(canaryAt('Succeeded')))
  })
  t.match(await run('watch', 'cart', '-n', 'shop', '--kubeconfig', path), { code: 0, out: /cart: waiting for its Canary to be written\ncart: Succeeded/ })
})

test('watch ends in time when nobody answers, and says so', async (t) => {
  const path = await serve(t, () => undefined)
  const begun = Date.now()
  t.match(await run('watch', 'cart', '--timeout', '1s', '--kubeconfig', path), { code: 2, err: /the API server did not answer within 1 s/ })
  t.ok(Date.now() - begun < 5_000)
})
