import type { Canary } from '#api/canary.ts'
import { ANNOTATION_GATE, FLAGGER_API_VERSION } from '#api/names.ts'
import { connect, type Where } from '#cli/cluster.ts'
import { InputError } from '#cli/input.ts'
import { isExpired, KubeError, type KubeClient } from '#kube/client.ts'
import { isAtRest } from '#rollout/status.ts'

export type WatchOptions = Where & {
  readonly name: string
  readonly namespace: string | undefined
  readonly timeoutMs: number
  readonly out: (text: string) => void
}

type Asked = { readonly client: KubeClient; readonly name: string; readonly namespace: string; readonly signal: AbortSignal }

/** Between two looks: the server ends a watch now and then, laptops change their networks, API servers are replaced. */
const AGAIN_AFTER_MS = 1_000

/** Prints each change of a Canary, one line each, until its run has ended. Answers 0 when what was asked for serves, 1 when it does not. */
export async function watchCanary({ name, timeoutMs, out, ...where }: WatchOptions): Promise<number> {
  const { client, namespace: own, inWords } = await connect(where)
  const ending = new AbortController()
  const timer = setTimeout(() => ending.abort(), timeoutMs)
  let last: string | undefined
  const tell = (line: string): void => {
    if (line !== last) out(`${line}\n`)
    last = line
  }
  try {
    return await follow({ client, name, namespace: where.namespace ?? own, signal: ending.signal }, tell)
  } catch (err) {
    if (!ending.signal.aborted) throw inWords(err)
    const seconds = Math.round(timeoutMs / 1_000)
    throw new InputError(last === undefined ? `the API server did not answer within ${seconds} s` : `the run had not ended after ${seconds} s: give it longer with --timeout`)
  } finally {
    clearTimeout(timer)
    ending.abort()
    await client.close()
  }
}

/** Looks until the run has ended: while it is under way by watching, and once a second while it is yet to begin. */
async function follow(asked: Asked, tell: (line: string) => void): Promise<number> {
  let isSeen = false
  for (;; await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS))) {
    try {
      const ended = await look(asked, (line) => {
        isSeen = true
        tell(line)
      })
      if (ended !== undefined) return ended
    } catch (err) {
      // A connection that was cut, once there was one, and a watch that is too old.
      if (!isSeen || asked.signal.aborted || !(isExpired(err) || (err instanceof KubeError && err.retryable))) throw err
    }
  }
}

/** The verdict; undefined when it is to be looked again. */
async function look(asked: Asked, tell: (line: string) => void): Promise<number | undefined> {
  const { client, name, namespace, signal } = asked
  const fieldSelector = `metadata.name=${name}`
  const { items: [canary], resourceVersion } = await client.list<Canary>(FLAGGER_API_VERSION, 'Canary', { namespace, fieldSelector, signal })
  if (!canary) {
    // Of a target that is gated for the first time the agent writes the Canary some seconds later.
    if (!(await isPending(asked, 'Deployment', name))) throw new InputError(`no Canary ${name} in namespace ${namespace}`)
    tell(`${name}: waiting for its Canary to be written`)
    return undefined
  }
  tell(lineOf(canary))
  if (isAtRest(canary.status ?? {})) {
    // Just after `kubectl set image` the phase is still that of the run before.
    const { kind, name: target } = canary.spec.targetRef
    return (await isPending(asked, kind, target)) ? undefined : verdict(canary)
  }
  for await (const event of client.watch(FLAGGER_API_VERSION, 'Canary', { namespace, fieldSelector, resourceVersion, signal })) {
    if (event.type === 'ERROR') throw new KubeError({ status: event.status, reason: 'Watch', message: event.message })
    if (event.type === 'BOOKMARK') continue
    if (event.type === 'DELETED') throw new InputError(`Canary ${name} was deleted`)
    if (isAtRest((event.object as Canary).status ?? {})) return await look(asked, tell)
    tell(lineOf(event.object as Canary))
  }
  return undefined
}

/** What is known of a run, in a line. */
export function lineOf({ metadata, status }: Canary): string {
  const { phase = 'Initializing', canaryWeight = 0, failedChecks = 0, gate } = status ?? {}
  const failed = failedChecks > 0 ? `, ${failedChecks} failed check${failedChecks === 1 ? '' : 's'}` : ''
  const served = gate?.effectiveWeight === undefined ? '' : ` (served as ${gate.effectiveWeight} %)`
  return `${metadata.name}: ${phase}, weight ${canaryWeight} %${served}${failed}${gate?.reason ? `; ${gate.reason}` : ''}`
}

/** Whether the webhook holds a change of a workload; nobody holds one of a Service, or of what one may not read. */
async function isPending({ client, namespace, signal }: Asked, kind: string, name: string): Promise<boolean> {
  if (kind !== 'Deployment' && kind !== 'DaemonSet') return false
  const target = await client.get({ apiVersion: 'apps/v1', kind, namespace, name }, { signal }).catch((err: unknown) => {
    if (err instanceof KubeError && err.status === 403) return undefined
    throw err
  })
  return target?.metadata.annotations?.[ANNOTATION_GATE] === 'pending'
}

const verdict = ({ status }: Canary): number => (status?.phase === 'Failed' ? 1 : 0)
