import type { KubeObject, ObjectRef } from '#api/objects.ts'
import type { KubeList, WatchEvent } from '#kube/answers.ts'
import type { KubeClient, WatchOptions } from '#kube/client.ts'
import { isNotFound, KubeError } from '#kube/error.ts'
import { faultError, type FakeApi, type FakeRequest, type ListAnswer } from './api.ts'
import { copy, type Stored } from './values.ts'

export type RawHandler = (method: string, path: string, body: unknown) => unknown

/** A client without sockets: every call still yields once, so that what runs in between can come first. */
export function createInProcessClient(api: FakeApi, raw: () => RawHandler | undefined): KubeClient {
  async function ask(request: FakeRequest, signal: AbortSignal | undefined): Promise<unknown> {
    await Promise.resolve()
    if (signal?.aborted) throw new KubeError({ status: 0, reason: 'Aborted', message: 'aborted' })
    const fault = api.begin(request)
    if (fault && fault !== 'applied-without-answer') throw faultError(fault)
    const answer = copy(api.perform(request))
    if (fault) throw faultError(fault)
    return answer
  }

  async function* watch(apiVersion: string, kind: string, { signal, onOpen, timeoutSeconds: _, ...options }: WatchOptions): AsyncGenerator<WatchEvent> {
    const request: FakeRequest = { verb: 'watch', apiVersion, kind, name: '', ...options }
    const fault = api.begin(request)
    if (fault && fault !== 'reset') throw faultError(fault)
    const events: WatchEvent[] = []
    let isOver = false
    let wake = (): void => {}
    const stop = api.watch(request, {
      event: (type, object) => {
        events.push(toEvent(type, copy(object) as Stored))
        wake()
      },
      end: () => {
        isOver = true
        wake()
      },
    })
    const abort = (): void => wake()
    signal.addEventListener('abort', abort)
    onOpen?.()
    try {
      if (fault) throw faultError(fault)
      for (;;) {
        if (signal.aborted) throw new KubeError({ status: 0, reason: 'Aborted', message: 'aborted' })
        const event = events.shift()
        if (event) yield event
        else if (isOver) return
        else await new Promise<void>((resolve) => { wake = resolve })
      }
    } finally {
      stop()
      signal.removeEventListener('abort', abort)
    }
  }

  return {
    get: async <T extends KubeObject>(ref: ObjectRef, options: { readonly signal?: AbortSignal } = {}) => {
      try {
        return (await ask({ verb: 'get', ...ref }, options.signal)) as T
      } catch (err) {
        if (isNotFound(err)) return undefined
        throw err
      }
    },
    list: async <T extends KubeObject>(apiVersion: string, kind: string, { signal, lane: _, timeoutMs: __, ...options }: Parameters<KubeClient['list']>[2] = {}) => {
      const answer = (await ask({ verb: 'list', apiVersion, kind, name: '', ...options }, signal)) as ListAnswer
      return { items: answer.items, resourceVersion: answer.resourceVersion, ...(answer.continue ? { continue: answer.continue } : {}) } as unknown as KubeList<T>
    },
    create: async <T extends KubeObject>(object: KubeObject, options: Parameters<KubeClient['create']>[1] = {}) =>
      (await ask({ verb: 'create', ...refOf(object), body: object, ...facts(options) }, options.signal)) as T,
    apply: async <T extends KubeObject>(object: KubeObject, options: Parameters<KubeClient['apply']>[1]) =>
      (await ask({ verb: 'apply', ...refOf(object), body: object, force: options.force, ...facts(options) }, options.signal)) as T,
    patch: async <T extends KubeObject>(ref: ObjectRef, body: unknown, type: 'merge' | 'json' | 'strategic', options: Parameters<KubeClient['patch']>[3] = {}) =>
      (await ask({ verb: 'patch', ...ref, body, patchType: type, ...facts(options) }, options.signal)) as T,
    replace: async <T extends KubeObject>(object: KubeObject, options: Parameters<KubeClient['replace']>[1] = {}) =>
      (await ask({ verb: 'update', ...refOf(object), body: object, ...facts(options) }, options.signal)) as T,
    delete: async (ref, { propagation, preconditions, signal } = {}) => {
      try {
        await ask({ verb: 'delete', ...ref, body: { propagationPolicy: propagation, preconditions } }, signal)
        return true
      } catch (err) {
        if (isNotFound(err)) return false
        throw err
      }
    },
    watch,
    raw: async (method, path, { body } = {}) => {
      const handler = raw()
      if (!handler) throw new KubeError({ status: 404, reason: 'NotFound', message: `nothing answers ${method} ${path}: set rawHandler` })
      return copy(handler(method, path, body))
    },
    close: async () => {},
  }
}

const refOf = ({ apiVersion, kind, metadata: { name, namespace } }: KubeObject): ObjectRef => ({ apiVersion, kind, name: name ?? '', ...(namespace ? { namespace } : {}) })

type Facts = { readonly subresource?: string; readonly fieldManager?: string; readonly dryRun?: boolean }
const facts = ({ subresource, fieldManager, dryRun }: Facts): Facts => ({
  ...(subresource ? { subresource } : {}), ...(fieldManager ? { fieldManager } : {}), ...(dryRun ? { dryRun } : {}),
})

function toEvent(type: string, object: Stored): WatchEvent {
  if (type === 'BOOKMARK') return { type, resourceVersion: object.metadata.resourceVersion }
  if (type === 'ERROR') return { type, status: Number(object['code']), message: String(object['message']) }
  return { type: type as 'ADDED', object: object as unknown as KubeObject }
}
