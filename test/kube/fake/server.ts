import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { KubeError } from '#kube/error.ts'
import { faultError, type FakeApi, type FakeRequest, type ListAnswer, type Verb } from './api.ts'
import type { RawHandler } from './in-process.ts'
import { isDict } from './values.ts'

export type FakeServer = {
  readonly url: string
  /** How many connections were ever accepted. */
  connections(): number
  /** Cuts every open connection, as a crashing server does. */
  resetConnections(): void
  /** Writes raw bytes into all open watches. */
  writeToWatches(bytes: string | Buffer): void
  close(): Promise<void>
}

/** The same API behind plain HTTP/1.1 on 127.0.0.1. */
export async function listenFake(api: FakeApi, raw: () => RawHandler | undefined): Promise<FakeServer> {
  const sockets = new Set<Socket>()
  const watching = new Set<ServerResponse>()
  let accepted = 0

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    const body: unknown = text === '' ? undefined : JSON.parse(text)
    const url = new URL(request.url ?? '/', 'http://fake')
    const target = parsePath(api, url.pathname)
    if (!target) return send(response, 200, otherPath(api, url.pathname) ?? raw()?.(request.method ?? 'GET', url.pathname, body) ?? failure(404, 'NotFound', 'no such path'))
    const call = toRequest(request, url, target, body)
    const fault = api.begin(call)
    if (fault === 'timeout') return
    if (fault === 'reset' && call.verb !== 'watch') return void response.socket?.destroy()
    if (fault === 'garbage' && call.verb !== 'watch') return void response.writeHead(200, { 'content-type': 'application/json' }).end('<html>')
    if (fault && !['applied-without-answer', 'reset', 'garbage'].includes(fault)) throw faultError(fault)
    if (call.verb === 'watch') return watch(call, response, fault)
    const result = api.perform(call)
    if (fault === 'applied-without-answer') return void response.socket?.destroy()
    send(response, call.verb === 'create' ? 201 : 200, call.verb === 'list' ? listBody(call, result as ListAnswer) : result)
  }

  function watch(call: FakeRequest, response: ServerResponse, fault: string | undefined): void {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    watching.add(response)
    const stop = api.watch(call, {
      event: (type, object) => void response.write(`${JSON.stringify({ type, object })}\n`),
      end: () => void response.end(),
    })
    response.on('close', () => {
      watching.delete(response)
      stop()
    })
    if (fault === 'garbage') response.write('{"type":"ADD\n')
    if (fault === 'reset') response.socket?.destroy()
  }

  const server: Server = createServer((request, response) => {
    answer(request, response).catch((err: unknown) => {
      const told = err instanceof KubeError ? err : new KubeError({ status: 500, reason: 'InternalError', message: String(err) })
      if (told.status === 429) response.setHeader('retry-after', '0')
      send(response, told.status, { ...failure(told.status, told.reason, told.message), details: { causes: told.causes } })
    })
  })
  server.on('connection', (socket) => {
    accepted += 1
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => accepted,
    resetConnections: () => {
      for (const socket of sockets) socket.destroy()
    },
    writeToWatches: (bytes) => {
      for (const response of watching) response.write(bytes)
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => server.close(() => resolve()))
    },
  }
}

function send(response: ServerResponse, fallbackStatus: number, body: unknown): void {
  const status = isDict(body) && body['kind'] === 'Status' && typeof body['code'] === 'number' ? body['code'] : fallbackStatus
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const failure = (code: number, reason: string, message: string) => ({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message })

type Target = { readonly apiVersion: string; readonly kind: string; readonly namespace?: string; readonly name: string; readonly subresource?: string }

function parsePath(api: FakeApi, pathname: string): Target | undefined {
  const parts = pathname.split('/').slice(1).map(decodeURIComponent)
  const isCore = parts[0] === 'api'
  const apiVersion = isCore ? parts[1] : `${parts[1]}/${parts[2]}`
  let rest = parts.slice(isCore ? 2 : 3)
  let namespace: string | undefined
  if (rest[0] === 'namespaces' && rest.length > 2) [, namespace, ...rest] = rest as [string, string, ...string[]]
  const [plural, name = '', subresource] = rest
  const kind = [...api.db.kinds.values()].find((served) => served.apiVersion === apiVersion && served.plural === plural)
  if (!kind || !plural) return undefined
  return { apiVersion: kind.apiVersion, kind: kind.kind, name, ...(namespace ? { namespace } : {}), ...(subresource ? { subresource } : {}) }
}

/** Discovery of one group and version. */
function otherPath(api: FakeApi, pathname: string): unknown {
  const apiVersion = /^\/(?:api|apis)\/([^/]+(?:\/[^/]+)?)$/.exec(pathname)?.[1]
  const served = [...api.db.kinds.values()].filter((kind) => kind.apiVersion === apiVersion)
  if (served.length === 0) return undefined
  return { kind: 'APIResourceList', groupVersion: apiVersion, resources: served.map(({ plural, kind, namespaced }) => ({ name: plural, kind, namespaced })) }
}

const PATCH_TYPES: Readonly<Record<string, 'merge' | 'json' | 'strategic'>> = {
  'application/merge-patch+json': 'merge', 'application/json-patch+json': 'json', 'application/strategic-merge-patch+json': 'strategic',
}

function toRequest(request: IncomingMessage, url: URL, target: Target, body: unknown): FakeRequest {
  const query = (name: string): string | undefined => url.searchParams.get(name) ?? undefined
  const contentType = request.headers['content-type'] ?? ''
  const isApply = contentType.startsWith('application/apply-patch+yaml')
  const verbs: Readonly<Record<string, Verb>> = {
    GET: target.name ? 'get' : query('watch') === 'true' ? 'watch' : 'list', POST: 'create', PUT: 'update', PATCH: isApply ? 'apply' : 'patch', DELETE: 'delete',
  }
  const verb = verbs[request.method ?? ''] ?? 'get'
  const set = {
    namespace: target.namespace, subresource: target.subresource, fieldManager: query('fieldManager'), body,
    patchType: PATCH_TYPES[contentType], force: query('force') === 'true' || undefined, dryRun: query('dryRun') === 'All' || undefined,
    labelSelector: query('labelSelector'), fieldSelector: query('fieldSelector'), limit: Number(query('limit')) || undefined,
    continue: query('continue'), resourceVersion: query('resourceVersion'),
  }
  const known = Object.fromEntries(Object.entries(set).filter(([, value]) => value !== undefined))
  const created = verb === 'create' && isDict(body) && isDict(body['metadata']) ? String(body['metadata']['name'] ?? '') : target.name
  return { verb, apiVersion: target.apiVersion, kind: target.kind, name: created, ...known }
}

function listBody({ apiVersion, kind }: FakeRequest, { items, resourceVersion, continue: token, remaining }: ListAnswer): unknown {
  return {
    apiVersion, kind: `${kind}List`,
    metadata: { resourceVersion, ...(token ? { continue: token, remainingItemCount: remaining } : {}) },
    // As a real server: the items of a list do not say what they are.
    items: items.map(({ apiVersion: _, kind: __, ...item }) => item),
  }
}
