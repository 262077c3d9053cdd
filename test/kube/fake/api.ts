import { KubeError } from '#kube/error.ts'
import { createDb, type Change, type Db, type WriteFacts } from './db.ts'
import type { ServedKind } from './kinds.ts'
import { applyJsonPatch, mergePatch, strategicPatch } from './patching.ts'
import { matchesFields, matchesLabels } from './selectors.ts'
import { copy, isDict, type Dict, type Stored } from './values.ts'

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'apply' | 'patch' | 'update' | 'delete'

export type Call = {
  readonly verb: Verb
  readonly apiVersion: string
  readonly kind: string
  readonly namespace?: string
  /** '' for list and watch. */
  readonly name: string
  readonly subresource?: string
  readonly fieldManager?: string
  readonly body?: unknown
}

export type FakeRequest = Call & {
  readonly patchType?: 'merge' | 'json' | 'strategic'
  readonly force?: boolean
  readonly dryRun?: boolean
  readonly labelSelector?: string
  readonly fieldSelector?: string
  readonly limit?: number
  readonly continue?: string
  readonly resourceVersion?: string
}

/**
 * What goes wrong with a call. `timeout`: no answer, not applied; `applied-without-answer`: applied, and the answer lost;
 * `reset`: the connection is cut (of a watch: in the middle); `garbage`: an answer that is no JSON; numbers are HTTP statuses.
 */
export type Fault = 'conflict' | 'timeout' | 'applied-without-answer' | 'reset' | 'garbage' | '401' | '403' | '404' | '410' | '422' | '429' | '500' | '503'
/** `count`: the how many-th call of this verb, kind and name it is, from 1. */
export type FaultRule = (call: Call & { readonly count: number }) => Fault | undefined

const REASONS: Readonly<Record<string, string>> = {
  '401': 'Unauthorized', '403': 'Forbidden', '404': 'NotFound', '410': 'Expired', '422': 'Invalid', '429': 'TooManyRequests', '500': 'InternalError', '503': 'ServiceUnavailable',
}

export type ListAnswer = { readonly items: readonly Stored[]; readonly resourceVersion: string; readonly continue?: string; readonly remaining?: number }
export type WatchSink = { readonly event: (type: string, object: unknown) => void; readonly end: () => void }

export type FakeApi = ReturnType<typeof createFakeApi>

/** Requests in, answers out, the same for both ways in: calls are recorded, and fail where a rule says so. */
export function createFakeApi(now: () => number) {
  const db = createDb(now)
  const calls: Call[] = []
  const rules = new Set<FaultRule>()
  const counts = new Map<string, number>()
  const watches = new Set<{ readonly kind: ServedKind; readonly sink: WatchSink; readonly stop: () => void }>()
  const pages = new Map<string, { readonly items: readonly Stored[]; readonly resourceVersion: string; readonly oldestAt: number }>()
  let tokens = 0

  /** Records a call and answers what is to go wrong with it. */
  function begin({ verb, apiVersion, kind, namespace, name, subresource, fieldManager, body }: FakeRequest): Fault | undefined {
    const call: Call = {
      verb, apiVersion, kind, name,
      ...(namespace ? { namespace } : {}), ...(subresource ? { subresource } : {}), ...(fieldManager ? { fieldManager } : {}), ...(body === undefined ? {} : { body: copy(body) }),
    }
    calls.push(call)
    const key = `${verb} ${kind} ${name}`
    const count = (counts.get(key) ?? 0) + 1
    counts.set(key, count)
    for (const rule of rules) {
      const fault = rule({ ...call, count })
      if (fault) return fault
    }
    return undefined
  }

  function perform(request: FakeRequest): Stored | ListAnswer {
    const kind = db.kindOf(request.apiVersion, request.kind)
    const { namespace, name, body, subresource, dryRun = false } = request
    const manager = request.fieldManager ?? 'unknown'
    const facts: WriteFacts = { manager, operation: 'Update', subresource, dryRun }
    if (kind.namespaced && !namespace && request.verb !== 'list') throw new KubeError({ status: 400, reason: 'BadRequest', message: `${kind.kind} ${name} needs a namespace` })
    switch (request.verb) {
      case 'get': return db.find(kind, namespace, name)
      case 'list': return list(kind, request)
      case 'create': return db.create(kind, placed(body, kind, namespace), facts)
      case 'update': return subresource === 'scale' ? scale(kind, request, facts) : db.replace(kind, placed(body, kind, namespace), facts)
      case 'apply': return db.apply(kind, { ...placed(body, kind, namespace) }, { ...facts, operation: 'Apply', force: request.force ?? false })
      case 'patch': return subresource === 'scale' ? scale(kind, request, facts) : db.modify(kind, namespace, name, facts, (before) => patched(kind, before, request))
      case 'delete': return db.remove(kind, namespace, name, deleteOptions(body))
      default: throw new KubeError({ status: 405, reason: 'MethodNotAllowed', message: request.verb })
    }
  }

  function scale(kind: ServedKind, { namespace, name, body }: FakeRequest, facts: WriteFacts): Stored {
    const replicas = isDict(body) && isDict(body['spec']) ? body['spec']['replicas'] : undefined
    return db.modify(kind, namespace, name, { ...facts, subresource: undefined }, (before) => ({ ...before, spec: { ...(before['spec'] as Dict), replicas } }))
  }

  function list(kind: ServedKind, request: FakeRequest): ListAnswer {
    const kept = request.continue ? pages.get(request.continue) : undefined
    if (request.continue && (!kept || db.since(Number(kept.resourceVersion)) === undefined))
      throw new KubeError({ status: 410, reason: 'Expired', message: 'The provided continue parameter is too old' })
    const items = kept?.items ?? db.all(kind).filter((object) => isSelected(object, request))
    const resourceVersion = kept?.resourceVersion ?? String(db.version())
    const limit = request.limit || Infinity
    if (items.length <= limit) return { items, resourceVersion }
    tokens += 1
    const token = `page-${tokens}`
    pages.set(token, { items: items.slice(limit), resourceVersion, oldestAt: db.version() })
    return { items: items.slice(0, limit), resourceVersion, continue: token, remaining: items.length - limit }
  }

  /** Tells `sink` all changes after the request's version until the answer is called. Throws what a refused watch gets. */
  function watch(request: FakeRequest, sink: WatchSink): () => void {
    const kind = db.kindOf(request.apiVersion, request.kind)
    const from = request.resourceVersion && request.resourceVersion !== '0' ? Number(request.resourceVersion) : undefined
    const missed = from === undefined ? [] : db.since(from)
    if (!missed) {
      sink.event('ERROR', { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 410, reason: 'Expired', message: `too old resource version: ${from}` })
      sink.end()
      return () => {}
    }
    const tell = ({ object, old, type }: Change): void => {
      if (object.kind !== kind.kind || object.apiVersion !== kind.apiVersion) return
      const was = old !== undefined && isSelected(old, request)
      const is = type !== 'DELETED' && isSelected(object, request)
      if (is) sink.event(was ? 'MODIFIED' : 'ADDED', object)
      else if (was) sink.event('DELETED', object)
    }
    if (from === undefined) for (const object of db.all(kind)) if (isSelected(object, request)) sink.event('ADDED', object)
    for (const change of missed) tell(change)
    const unlisten = db.listen(tell)
    const stop = (): void => {
      unlisten()
      watches.delete(open)
    }
    const open = { kind, sink, stop }
    watches.add(open)
    return stop
  }

  return {
    db, calls, begin, perform, watch,
    faults: {
      /** The answer takes the rule back. */
      on: (rule: FaultRule): (() => void) => {
        rules.add(rule)
        return () => void rules.delete(rule)
      },
    },
    clearCalls: (): void => {
      calls.length = 0
      counts.clear()
    },
    bookmark: (): void => {
      for (const { kind, sink } of watches)
        sink.event('BOOKMARK', { apiVersion: kind.apiVersion, kind: kind.kind, metadata: { resourceVersion: String(db.version()) } })
    },
    endWatches: (): void => {
      for (const { sink, stop } of watches) {
        stop()
        sink.end()
      }
    },
    watchCount: (): number => watches.size,
  }
}

/** What an injected fault looks like to a caller who sees answers, not sockets. */
export function faultError(fault: Fault): KubeError {
  if (fault === 'timeout' || fault === 'applied-without-answer') return new KubeError({ status: 0, reason: 'Timeout', message: 'no answer in time' })
  if (fault === 'reset') return new KubeError({ status: 0, reason: 'NetworkError', message: 'other side closed' })
  if (fault === 'garbage') return new KubeError({ status: 0, reason: 'BadAnswer', message: 'the answer is no JSON' })
  if (fault === 'conflict') return new KubeError({ status: 409, reason: 'Conflict', message: 'the object has been modified; please apply your changes to the latest version' })
  return new KubeError({ status: Number(fault), reason: REASONS[fault] ?? 'InternalError', message: `injected ${fault}` })
}

function isSelected(object: Stored, { namespace, labelSelector, fieldSelector }: FakeRequest): boolean {
  if (namespace && object.metadata.namespace !== namespace) return false
  return matchesLabels(labelSelector, object.metadata.labels) && matchesFields(fieldSelector, object)
}

function placed(body: unknown, kind: ServedKind, namespace: string | undefined): Dict {
  if (!isDict(body) || !isDict(body['metadata'])) throw new KubeError({ status: 400, reason: 'BadRequest', message: 'the object has no metadata' })
  const { namespace: _, ...metadata } = body['metadata']
  return { ...body, apiVersion: kind.apiVersion, kind: kind.kind, metadata: kind.namespaced ? { ...metadata, namespace } : metadata }
}

function patched(kind: ServedKind, before: Stored, { body, patchType = 'merge' }: FakeRequest): unknown {
  if (patchType === 'json') return applyJsonPatch(before, body)
  if (patchType === 'merge') return mergePatch(before, body)
  if (!kind.isBuiltIn) throw new KubeError({ status: 415, reason: 'UnsupportedMediaType', message: 'strategic merge patch is not supported for custom resources' })
  return strategicPatch(before, body)
}

function deleteOptions(body: unknown): { uid?: string; resourceVersion?: string; orphan?: boolean } {
  const options = isDict(body) ? body : {}
  const preconditions = isDict(options['preconditions']) ? (options['preconditions'] as { uid?: string; resourceVersion?: string }) : {}
  return { ...preconditions, orphan: options['propagationPolicy'] === 'Orphan' }
}

export type { Db }
